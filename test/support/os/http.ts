import type http from 'node:http';

/** node:http. An import of it as a module also loads fetch and WebSocket, for 35 ms of CPU in each file of tests. */
const { createServer: create, request: ask } = process.getBuiltinModule('node:http');

export const createServer: typeof http.createServer = create;
export const request: typeof http.request = ask;
