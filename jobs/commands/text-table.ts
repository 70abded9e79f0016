// Owns tables of text for people: columns of one width, numbers to the right, no wider than their content. Pure.

const GAP = '  ';
/** Of scripts that are written in two columns of a terminal. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

export interface Column {
  readonly title: string;
  /** Numbers and durations. @default false */
  readonly right?: boolean;
  /** Wraps a cell that is aligned already: colours. */
  readonly paint?: (text: string) => string;
}

/** Lines of the table, the titles first; cells must be `printable`. A column in which nothing stands is left out. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[], indent = ''): string[] {
  const shown = columns.map((_column, at) => rows.some((row) => row[at] !== ''));
  const widths = columns.map(({ title }, at) => Math.max(...[title, ...rows.map((row) => row[at])].map(textWidth)));
  const line = (cells: readonly string[], painted: boolean) => {
    const parts = columns.flatMap(({ paint, right }, at) => {
      if (!shown[at]) return [];
      const space = ' '.repeat(widths[at] - textWidth(cells[at]));
      const text = painted && paint !== undefined ? paint(cells[at]) : cells[at];
      return [right ? space + text : text + space];
    });
    return `${indent}${parts.join(GAP)}`.trimEnd();
  };
  return [
    line(
      columns.map(({ title }) => title),
      false,
    ),
    ...rows.map((row) => line(row, true)),
  ];
}

/** Columns of a terminal that `text` takes. */
export function textWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}
