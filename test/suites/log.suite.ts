// Owns the contract suite of the log port: one set of tests that every adapter must pass. What may happen to a log
// differs, what the port promises does not. The subjects give the table of what is left out for whom, and why.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LogBench } from '#test/suites/log/bench.ts';
import { faultTests, outageTests } from '#test/suites/log/faults.ts';
import { groupTests, severalMembersTests } from '#test/suites/log/groups.ts';
import { readingTests } from '#test/suites/log/reading.ts';
import { allItems, type LogSuiteSubject, testedItems } from '#test/suites/log/subject.ts';
import { topicTests } from '#test/suites/log/topics.ts';
import { writingTests } from '#test/suites/log/writing.ts';

/** Registers the tests for one adapter. */
export function logSuite(subject: LogSuiteSubject): void {
  describe(`log port: ${subject.name}`, () => {
    const bench = new LogBench(subject);
    beforeAll(() => bench.open());
    afterEach(() => bench.closeClients());
    afterAll(() => bench.close());

    it('is tested in everything that can happen to it', () => {
      const omitted = subject.omitted.flatMap(({ items }) => items);
      expect([...testedItems(subject.capabilities), ...omitted].sort()).toEqual(allItems().sort());
      for (const { why } of subject.omitted) expect(why).not.toBe('');
    });
    describe('topics', () => topicTests(bench));
    describe('writers', () => writingTests(bench));
    describe('readers', () => readingTests(bench));
    describe('groups', () => groupTests(bench));
    const { faults, outage, severalMembers } = subject.capabilities;
    if (severalMembers) describe('groups of several members', () => severalMembersTests(bench));
    if (faults.length > 0) describe('faults', () => faultTests(bench));
    if (outage) describe('outages', () => outageTests(bench));
  });
}
