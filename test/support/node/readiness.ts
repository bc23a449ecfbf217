const switched = String.raw`(?:on|off \([^)\n]+\); [^\n]+)`;

/** The response of /readyz if nothing is wrong: it is ready, and which features of the node it uses. */
export const ready: RegExp = new RegExp(
  `^ready\nfs-verity: ${switched}\nEROFS views: ${switched}\nloading on demand: (?:not tried yet: [^\n]+|${switched})\n$`,
);
