// Owns the connections of one writer, one per broker: nothing of it may share a socket, because closing them is how a
// writer makes sure that nothing more of a failed transaction is sent.

import type { Cluster } from '#runtime/log/kafka/cluster.ts';
import type { Connection } from '#runtime/log/kafka/connection.ts';

export class OwnConnections {
  readonly #cluster: Cluster;
  readonly #connections = new Map<number, Promise<Connection>>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  async to(nodeId: number): Promise<Connection> {
    const known = this.#connections.get(nodeId);
    if (known !== undefined) {
      const connection = await known;
      // Closed while idle: nothing was on its way, so another one may take its place.
      if (connection.open) return connection;
    }
    const opening = this.#cluster.connect(nodeId);
    opening.catch(() => {});
    this.#connections.set(nodeId, opening);
    return opening;
  }

  /** What has no answer yet gets none. */
  closeAll(): void {
    const connections = [...this.#connections.values()];
    this.#connections.clear();
    for (const opening of connections) {
      opening.then(
        (connection) => connection.close(),
        () => {},
      );
    }
  }
}
