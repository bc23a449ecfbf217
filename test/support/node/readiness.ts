/** The response of /readyz if nothing is wrong: it is ready, and whether fs-verity seals the cache. */
export const ready: RegExp =
  /^ready\nfs-verity: (?:on|off \([^)\n]+\); [^\n]+)\nEROFS views: (?:on|off \([^)\n]+\); [^\n]+)\n$/;
