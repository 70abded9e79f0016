// Owns the text of windows over records, joins and lookups in an explained plan.

import type { CountWindowPlan, KeyedStepPlan, RecordWindowPlan } from '#jobs/keyed-plan.ts';
import type { TriggerPlan } from '#operators/windows/window-trigger.ts';
import { formatDuration } from '#runtime/std/duration.ts';

export function keyedText({ id, operator: plan }: KeyedStepPlan, of: string): string {
  const late = 'allowedLatenessMs' in plan && plan.allowedLatenessMs > 0;
  const lateness = late ? `, late ≤ ${formatDuration(plan.allowedLatenessMs)}` : '';
  switch (plan.type) {
    case 'window': {
      const split = plan.splitMs === null ? '' : ', split before the exchange';
      const when = `${triggerText(plan.trigger, plan.windows.kind === 'global')}${lateness}${split}`;
      return `window ${id} ${windowsText(plan.windows)}${of}${when} [state ${stateText(plan)}]`;
    }
    case 'count-window': {
      const slide = plan.slide === null ? '' : ` every ${plan.slide}`;
      return `window ${id} of ${plan.size} records${slide}${of} [state ${stateText(plan)}]`;
    }
    case 'interval-join': {
      const kind = plan.join === 'inner' ? '' : `${plan.join} `;
      const bounds = `${signed(plan.lowerMs)} … ${signed(plan.upperMs)}`;
      return `${kind}interval join ${id}${of} ${bounds}${lateness} [state ${id}]`;
    }
    case 'lookup': {
      const kind = plan.join === 'inner' ? '' : `${plan.join} `;
      return `${kind}lookup ${id}${of} ${plan.mode}${lateness} [state ${id}]`;
    }
  }
}

function stateText({ codec, function: kind }: RecordWindowPlan | CountWindowPlan): string {
  return kind === 'process' ? `records: ${codec}` : `${kind}: ${codec}`;
}

function windowsText(windows: RecordWindowPlan['windows']): string {
  if (windows.kind === 'global') return 'global';
  if (windows.kind === 'session') return `session ${formatDuration(windows.gapMs)}`;
  const offset = windows.offsetMs === 0 ? '' : ` + ${formatDuration(windows.offsetMs)}`;
  const slide = windows.kind === 'sliding' ? ` every ${formatDuration(windows.slideMs)}` : '';
  return `${windows.kind} ${formatDuration(windows.sizeMs)}${slide}${offset}`;
}

function triggerText({ atEnd, count, early, purge }: TriggerPlan, isGlobal: boolean): string {
  const parts: string[] = [];
  if (early !== null)
    parts.push(`early every ${formatDuration(early.everyMs)}${early.by === 'clock' ? ' by clock' : ''}`);
  if (count !== null) parts.push(`every ${count} records`);
  if (!atEnd && !isGlobal) parts.push('not at the end');
  if (purge) parts.push('purged');
  return parts.map((part) => `, ${part}`).join('');
}

function signed(ms: number): string {
  return ms < 0 ? `-${formatDuration(-ms)}` : `+${formatDuration(ms)}`;
}
