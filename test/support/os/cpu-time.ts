/** The milliseconds of CPU time of this process, which do not depend on other processes. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
