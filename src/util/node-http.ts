import type nodeHttp from 'node:http';
import type nodeHttps from 'node:https';
import process from 'node:process';

/** Importing node:http or node:https would load fetch and WebSocket as well: 4 MB, and 45 ms of CPU at each start. */
export const http: typeof nodeHttp = process.getBuiltinModule('node:http');
export const https: typeof nodeHttps = process.getBuiltinModule('node:https');
