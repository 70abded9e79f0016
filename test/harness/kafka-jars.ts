// Owns the jars of Apache Kafka: fetched once by Maven into a cache that all runs share. Does not start anything.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const KAFKA_VERSION = '4.3.1';

const run = promisify(execFile);
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/millrace');

/** Broker, and the tools whose console consumer is the independent reader of the tests. */
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>millrace</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>${KAFKA_VERSION}</version></dependency>
  </dependencies>
</project>
`;

/** Directory with Kafka's jars; fetches them when they are not there. Several processes may ask at once. */
export async function kafkaJars(): Promise<string> {
  const jars = join(CACHE, `kafka-${KAFKA_VERSION}`);
  if (existsSync(jars)) return jars;
  const work = join(CACHE, `fetch-${process.pid}`);
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  try {
    await writeFile(join(work, 'pom.xml'), POM);
    const outputDirectory = `-DoutputDirectory=${join(work, 'jars')}`;
    await run('mvn', ['-q', '-B', 'dependency:copy-dependencies', outputDirectory], { cwd: work });
    await rename(join(work, 'jars'), jars).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return jars;
}

/** Whether this machine has what `kafkaJars` and a broker need: Maven and Java 17 or newer. */
export async function hasMavenAndJava(): Promise<boolean> {
  try {
    const java = await run('java', ['-version']);
    const major = Number(/version "(\d+)/.exec(java.stderr + java.stdout)?.[1] ?? 0);
    if (major < 17) return false;
    if (!existsSync(join(CACHE, `kafka-${KAFKA_VERSION}`))) await run('mvn', ['-v']);
    return true;
  } catch {
    return false;
  }
}
