// Owns the admin API of a process, as configured: it listens before anything is claimed, so that a port that is taken
// ends the start, and answers until the last task has stopped. What it answers is the admin port's affair.

import { adminPort } from '#jobs/admin-port.ts';
import type { AdminSource } from '#jobs/admin-source.ts';
import { faultsError } from '#jobs/faults.ts';
import { type HttpConfiguration, hostNames, readTls } from '#jobs/http-configuration.ts';
import { engineVersion } from '#jobs/version.ts';
import { AdminServer } from '#runtime/http/admin-server.ts';
import type { AdminPort } from '#runtime/http/contract.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';

export class AdminHttp {
  readonly #http: HttpConfiguration;
  readonly #logger: Logger;
  #server: AdminServer | null = null;
  #started = false;

  constructor(http: HttpConfiguration, logger: Logger) {
    this.#http = http;
    this.#logger = logger;
  }

  /** Errors: address-unavailable; config-invalid when certificate or key are not what they were. */
  async open(source: AdminSource): Promise<void> {
    const { host, port, tls, token } = this.#http;
    const faults: Parameters<typeof readTls>[1] = [];
    const read = tls === null ? null : readTls(tls, faults);
    if (faults.length > 0) throw faultsError('config-invalid', 'the configuration of the admin API', faults);
    const server = new AdminServer({
      port: this.#untilStarted(adminPort(source)),
      version: engineVersion(),
      hosts: hostNames(this.#http),
      token,
      tls: read,
      clock: systemClock,
      logger: this.#logger,
    });
    await server.listen(host, port);
    this.#server = server;
    this.#logger.info({}, `the admin API answers at ${server.url}`);
  }

  /** From now on the process is ready when its jobs are. */
  started(): void {
    this.#started = true;
  }

  /** Where it listens; null before. */
  get url(): string | null {
    return this.#server?.url ?? null;
  }

  /** Ends within a second or so. */
  async close(): Promise<void> {
    await this.#server?.close();
    this.#server = null;
  }

  // Before its jobs are known a process without jobs would seem ready.
  #untilStarted(port: AdminPort): AdminPort {
    const readiness = port.readiness.bind(port);
    port.readiness = async () => ({ ...(await readiness()), ...(!this.#started && { ready: false }) });
    return port;
  }
}
