// Owns the admin API of a process, as configured: it listens before anything is claimed, so that a port that is taken
// ends the start, and answers until the last task has stopped. What it answers is the admin port's affair.

import { adminPort } from '#jobs/admin-port.ts';
import type { AdminSource } from '#jobs/admin-source.ts';
import type { Cluster } from '#jobs/cluster.ts';
import { clusterPort } from '#jobs/cluster-admin.ts';
import { faultsError } from '#jobs/faults.ts';
import { type HttpConfiguration, hostNames, readTls } from '#jobs/http-configuration.ts';
import { type AskedParts, answerPeer, type Told } from '#jobs/peers.ts';
import { engineVersion } from '#jobs/version.ts';
import { AdminServer } from '#runtime/http/admin-server.ts';
import type { AdminPort } from '#runtime/http/contract.ts';
import type { PeerDoor } from '#runtime/http/peer-door.ts';
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
    const { cluster } = source;
    const own = this.#untilStarted(adminPort(source));
    const server = new AdminServer({
      port:
        cluster === null
          ? own
          : clusterPort(own, () => (cluster.mayChange ? null : (...asked) => cluster.peers.admin(...asked))),
      peers: cluster === null ? null : peerDoor(cluster, own),
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

  /** Where other processes find it; empty before it listens. */
  get address(): string {
    const { advertise } = this.#http;
    const { url } = this;
    if (url === null || advertise === null) return url ?? '';
    if (/^https?:/.test(advertise)) return advertise;
    const { port, protocol } = new URL(url);
    return `${protocol}//${/:\d+\/?$/.test(advertise) ? advertise : `${advertise}:${port}`}`;
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

function peerDoor(cluster: Cluster, port: AdminPort): PeerDoor {
  const answers = {
    status: () => cluster.tasks.status(),
    reports: () => cluster.tasks.reports(),
    askState: (...asked: Parameters<Cluster['askState']>) => cluster.tasks.askState(...asked),
    told: (told: Told) => cluster.tasks.told(told),
    askParts: (asked: AskedParts) => cluster.tasks.askParts(asked),
    moved: (job: string, anew: boolean) => cluster.tasks.moved(job, anew),
    jobFailed: (...told: Parameters<Cluster['failJob']>) => cluster.failJob(...told),
    admin: (method: keyof AdminPort, args: readonly unknown[]) => cluster.answerAdmin(port, method, args),
  };
  return { token: () => cluster.peerToken, answer: (question) => answerPeer(answers, question) };
}
