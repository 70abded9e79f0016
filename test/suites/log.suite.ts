// Owns the contract suite of the log port: one set of tests that every adapter must pass. What a log is may differ
// (markers, faults that can be provoked), what the port promises may not.

import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { LogBench } from '#test/suites/log/bench.ts';
import { faultTests, outageTests } from '#test/suites/log/faults.ts';
import { readingTests } from '#test/suites/log/reading.ts';
import type { LogSuiteSubject } from '#test/suites/log/subject.ts';
import { topicTests } from '#test/suites/log/topics.ts';
import { writingTests } from '#test/suites/log/writing.ts';

/** Registers the tests for one adapter. */
export function logSuite(subject: LogSuiteSubject): void {
  describe(`log port: ${subject.name}`, () => {
    const bench = new LogBench(subject);
    beforeAll(() => bench.open());
    afterEach(() => bench.closeClients());
    afterAll(() => bench.close());

    describe('topics', () => topicTests(bench));
    describe('writers', () => writingTests(bench));
    describe('readers', () => readingTests(bench));
    const { faults, outage } = subject.capabilities;
    if (faults.length > 0) describe('faults', () => faultTests(bench));
    if (outage) describe('outages', () => outageTests(bench));
  });
}
