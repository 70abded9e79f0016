// Owns Flink's published window semantics (DataStream API: window assigners, triggers, allowed lateness) as cases, what
// Flink gives and what we give beside each other. Numbers are records by their event time, `w` is our watermark, `c` the
// clock of entries. Our watermark w says that nothing before w is missing: Flink's is then w - 1.

export interface FlinkCase {
  readonly what: string;
  /** Words of a stage, see script-stages.ts; spans in milliseconds. */
  readonly stage: string;
  readonly events: string;
  readonly flink: readonly string[];
  /** Where we differ: what we give, and why. */
  readonly ours?: { readonly gives: readonly string[]; readonly because: string };
}

export const ASSIGNERS: readonly FlinkCase[] = [
  {
    what: 'tumbling: start inclusive, end exclusive',
    stage: 'tumbling 10',
    events: '0 9 10 w10',
    flink: ['[0,10) 0 9'],
  },
  {
    what: 'tumbling: aligned to the epoch, before it as well',
    stage: 'tumbling 10',
    events: '-1 w0',
    flink: ['[-10,0) -1'],
  },
  {
    what: 'tumbling with an offset',
    stage: 'tumbling 10 offset 3',
    events: '2 3 w13',
    flink: ['[-7,3) 2', '[3,13) 3'],
  },
  {
    what: 'tumbling with a negative offset',
    stage: 'tumbling 10 offset -3',
    events: '6 7 w17',
    flink: ['[-3,7) 6', '[7,17) 7'],
  },
  {
    what: 'sliding: a record is in size / slide windows',
    stage: 'sliding 10 slide 5',
    events: '7 w15',
    flink: ['[0,10) 7', '[5,15) 7'],
  },
  {
    what: 'sliding: a record on a border',
    stage: 'sliding 10 slide 5',
    events: '5 w15',
    flink: ['[0,10) 5', '[5,15) 5'],
  },
  {
    what: 'sliding: the size need not be a multiple of the slide',
    stage: 'sliding 10 slide 3',
    events: '7 w16',
    flink: ['[0,10) 7', '[3,13) 7', '[6,16) 7'],
  },
  {
    what: 'sliding with an offset',
    stage: 'sliding 10 slide 5 offset 1',
    events: '5 w20',
    flink: ['[-4,6) 5', '[1,11) 5'],
  },
  {
    what: 'sliding as far as its size is tumbling',
    stage: 'sliding 10 slide 10',
    events: '3 13 w20',
    flink: ['[0,10) 3', '[10,20) 13'],
  },
  {
    what: 'sliding further than its size: records between are in no window',
    stage: 'sliding 2 slide 5',
    events: '1 3 5 w10',
    flink: ['[0,2) 1', '[5,7) 5'],
  },
  { what: 'session: ends a gap after its last record', stage: 'session 5', events: '1 5 w10', flink: ['[1,10) 1 5'] },
  {
    what: 'session: records exactly a gap apart are together',
    stage: 'session 5',
    events: '1 6 w11',
    flink: ['[1,11) 1 6'],
  },
  {
    what: 'session: a gap and more apart they are not',
    stage: 'session 5',
    events: '1 7 w12',
    flink: ['[1,6) 1', '[7,12) 7'],
  },
  { what: 'session: not aligned to anything', stage: 'session 5', events: '-3 w2', flink: ['[-3,2) -3'] },
  {
    what: 'session: a record between two makes them one',
    stage: 'session 5',
    events: '1 11 6 w16',
    flink: ['[1,16) 1 11 6'],
  },
  {
    what: 'session: a record before one makes it begin earlier',
    stage: 'session 5',
    events: '9 6 w14',
    flink: ['[6,14) 9 6'],
  },
  {
    what: 'session: a record inside one changes no border',
    stage: 'session 5',
    events: '1 6 3 w11',
    flink: ['[1,11) 1 6 3'],
  },
  {
    what: 'global: one window of everything, fired by its trigger only',
    stage: 'global count 3',
    events: '1 99 2 w1000',
    flink: ['1 99 2'],
  },
];

export const FIRING: readonly FlinkCase[] = [
  { what: 'not before the watermark has passed the end', stage: 'tumbling 10', events: '1 w9', flink: [] },
  { what: 'as soon as it has', stage: 'tumbling 10', events: '1 w9 w10', flink: ['[0,10) 1'] },
  { what: 'once', stage: 'tumbling 10', events: '1 w10 w11 w99', flink: ['[0,10) 1'] },
  {
    what: 'windows without records never',
    stage: 'tumbling 10',
    events: '1 31 w40',
    flink: ['[0,10) 1', '[30,40) 31'],
  },
  {
    what: 'in the order of their ends when the watermark leaps',
    stage: 'sliding 10 slide 5',
    events: '12 2 w40',
    flink: ['[-5,5) 2', '[0,10) 2', '[5,15) 12', '[10,20) 12'],
  },
  {
    what: 'records behind the watermark are in time while their window is open',
    stage: 'tumbling 10',
    events: '1 w8 3 w10',
    flink: ['[0,10) 1 3'],
  },
  {
    what: 'a session that goes on does not fire at its former end',
    stage: 'session 5',
    events: '1 w5 4 w8 w9',
    flink: ['[1,9) 1 4'],
  },
];

export const LATENESS: readonly FlinkCase[] = [
  {
    what: 'without lateness a record of a window that ended is late',
    stage: 'tumbling 10',
    events: '1 w10 5',
    flink: ['[0,10) 1', 'late 5'],
  },
  {
    what: 'within it the window fires again, with all of its records',
    stage: 'tumbling 10 lateness 5',
    events: '1 w10 5',
    flink: ['[0,10) 1', '[0,10) 1 5'],
  },
  {
    what: 'once for each late record',
    stage: 'tumbling 10 lateness 5',
    events: '1 w10 5 6',
    flink: ['[0,10) 1', '[0,10) 1 5', '[0,10) 1 5 6'],
  },
  {
    what: 'up to end + lateness, exclusive',
    stage: 'tumbling 10 lateness 5',
    events: '1 w14 5 w15 6',
    flink: ['[0,10) 1', '[0,10) 1 5', 'late 6'],
  },
  {
    what: 'a late record of a window that had none',
    stage: 'tumbling 10 lateness 5',
    events: 'w12 5',
    flink: ['[0,10) 5'],
  },
  {
    what: 'sliding: late for the oldest window, in time for the newest',
    stage: 'sliding 10 slide 5',
    events: '7 w10 8 w15',
    flink: ['[0,10) 7', '[5,15) 7 8'],
  },
  {
    what: 'sliding: late only when late for all of its windows',
    stage: 'sliding 10 slide 5',
    events: '7 w15 9',
    flink: ['[0,10) 7', '[5,15) 7', 'late 9'],
  },
  {
    what: 'sliding with lateness: one window fires again, the other waits',
    stage: 'sliding 10 slide 5 lateness 5',
    events: '7 w10 8 w15',
    flink: ['[0,10) 7', '[0,10) 7 8', '[5,15) 7 8'],
  },
  {
    what: 'purged windows fire again with the late record only',
    stage: 'tumbling 10 lateness 5 purge',
    events: '1 w10 5',
    flink: ['[0,10) 1', '[0,10) 5'],
  },
  {
    what: 'late records that are between windows',
    stage: 'sliding 2 slide 5',
    events: '5 w7 3',
    flink: ['[5,7) 5', 'late 3'],
    ours: {
      gives: ['[5,7) 5'],
      because: 'it was in no window when in time either: counted as between-windows, late or not',
    },
  },
];

export const MERGING: readonly FlinkCase[] = [
  {
    what: 'late for itself, but it touches a session that is open',
    stage: 'session 5',
    events: '10 w14 5 w15',
    flink: ['[5,15) 10 5'],
  },
  { what: 'late, and it touches none', stage: 'session 5', events: '10 w14 4 w15', flink: ['late 4', '[10,15) 10'] },
  {
    what: 'a session that fired goes on: it fires again at its new end',
    stage: 'session 5 lateness 10',
    events: '1 w6 4 w8 w9',
    flink: ['[1,6) 1', '[1,9) 1 4'],
  },
  {
    what: 'a late record inside a session that fired fires it at once',
    stage: 'session 5 lateness 10',
    events: '1 4 w9 3',
    flink: ['[1,9) 1 4', '[1,9) 1 4 3'],
  },
  {
    what: 'two that fired and a record between: the merged session fires at once',
    stage: 'session 5 lateness 60',
    events: '1 11 w16 6',
    flink: ['[1,6) 1', '[11,16) 11', '[1,16) 1 11 6'],
  },
  {
    what: 'one that fired and one that has not: at the end of both',
    stage: 'session 5 lateness 60',
    events: '1 11 w10 6 w16',
    flink: ['[1,6) 1', '[1,16) 1 11 6'],
  },
  {
    what: 'what was purged stays away, its session goes on',
    stage: 'session 5 lateness 10 purge',
    events: '1 w6 4 w9',
    flink: ['[1,6) 1', '[1,9) 4'],
  },
  {
    what: 'a purged session still connects',
    stage: 'session 5 lateness 20 purge',
    events: '1 w6 6 w11',
    flink: ['[1,6) 1', '[1,11) 6'],
  },
  {
    what: 'an ended session is forgotten after its lateness',
    stage: 'session 5 lateness 2',
    events: '1 w8 5 w10',
    flink: ['[1,6) 1', '[5,10) 5'],
  },
];

export const TRIGGERS: readonly FlinkCase[] = [
  {
    what: 'CountTrigger: every so many records, not at the end',
    stage: 'tumbling 10 count 2 no-end',
    events: '1 2 3 w10',
    flink: ['[0,10) 1 2'],
  },
  {
    what: 'CountTrigger keeps what it has fired',
    stage: 'tumbling 10 count 2 no-end',
    events: '1 2 3 4',
    flink: ['[0,10) 1 2', '[0,10) 1 2 3 4'],
  },
  {
    what: 'CountTrigger counts per window',
    stage: 'sliding 10 slide 5 count 2 no-end',
    events: '2 7',
    flink: ['[0,10) 2 7'],
  },
  {
    what: 'CountTrigger takes late records within the lateness',
    stage: 'tumbling 10 count 2 no-end lateness 5',
    events: 'w10 1 2',
    flink: ['[0,10) 1 2'],
  },
  {
    what: 'CountTrigger: sessions that merge add up their counts',
    stage: 'session 5 count 3 no-end',
    events: '1 11 6',
    flink: ['[1,16) 1 11 6'],
  },
  {
    what: 'PurgingTrigger: each record is in one result',
    stage: 'tumbling 10 count 2 no-end purge',
    events: '1 2 3 4 5 w10',
    flink: ['[0,10) 1 2', '[0,10) 3 4'],
  },
  { what: 'PurgingTrigger of EventTimeTrigger', stage: 'tumbling 10 purge', events: '1 w10', flink: ['[0,10) 1'] },
  {
    what: 'countWindow(n): global windows, counted and purged',
    stage: 'count 2',
    events: '1 2 3 4 5',
    flink: ['1 2', '3 4'],
  },
  { what: 'countWindow(n) as its parts', stage: 'global count 2 purge', events: '1 2 3 4 5', flink: ['1 2', '3 4'] },
  {
    what: 'countWindow(n, m): the last n after every m',
    stage: 'count 3 slide 2',
    events: '1 2 3 4 5 6',
    flink: ['1 2', '2 3 4', '4 5 6'],
  },
  {
    what: 'countWindow(n, m) with m above n leaves some out',
    stage: 'count 2 slide 3',
    events: '1 2 3 4 5 6',
    flink: ['2 3', '5 6'],
  },
  {
    what: 'ContinuousEventTimeTrigger: at each interval, and at the end',
    stage: 'tumbling 10 early 4 event-time',
    events: '1 w5 6 w9 w10',
    flink: ['[0,10) 1', '[0,10) 1 6', '[0,10) 1 6'],
  },
  {
    what: 'ContinuousEventTimeTrigger: when an interval is over',
    stage: 'tumbling 10 early 4 event-time',
    events: '1 w4 w5',
    flink: ['[0,10) 1'],
  },
  {
    what: 'ContinuousEventTimeTrigger: the instant at which it is over',
    stage: 'tumbling 10 early 4 event-time',
    events: '1 w4',
    flink: [],
    ours: {
      gives: ['[0,10) 1'],
      because:
        'intervals end as windows do, when nothing before their end is missing; Flink waits for one millisecond more',
    },
  },
  {
    what: 'ContinuousEventTimeTrigger: at intervals in which nothing came',
    stage: 'tumbling 20 early 4 event-time',
    events: '1 w5 w9 w13',
    flink: ['[0,20) 1', '[0,20) 1', '[0,20) 1'],
    ours: { gives: ['[0,20) 1'], because: 'a result that was given before says nothing, and each costs a record' },
  },
  {
    what: 'ContinuousProcessingTimeTrigger: by the clock alone, not at the end',
    stage: 'tumbling 10 early 4 clock no-end',
    events: 'c1 1 c4 w10',
    flink: ['[0,10) 1'],
  },
  {
    what: 'ContinuousProcessingTimeTrigger: at intervals in which nothing came',
    stage: 'tumbling 10 early 4 clock no-end',
    events: 'c1 1 c4 c8',
    flink: ['[0,10) 1', '[0,10) 1'],
    ours: { gives: ['[0,10) 1'], because: 'as above' },
  },
  {
    what: 'ContinuousEventTimeTrigger: late records fire at once',
    stage: 'tumbling 10 early 4 event-time lateness 9',
    events: '9 w10 2',
    flink: ['[0,10) 9', '[0,10) 9 2'],
  },
  {
    what: 'ContinuousEventTimeTrigger: the first interval is that of the record',
    stage: 'tumbling 20 early 4 event-time',
    events: '9 w5 w9 w13',
    flink: ['[0,20) 9'],
  },
];
