// Owns reading TypeScript well enough for house rules: where comments and strings are, what is imported, where functions
// begin and end. A tokeniser, no parser; it relies on formatted code. Positions are kept: masked text has the length
// of its source.

export interface SourceText {
  readonly path: string;
  readonly source: string;
  /** The source with comments, and the contents of strings, templates and regular expressions blanked. */
  readonly code: string;
  /** Comments only, everything else blanked. */
  readonly comments: string;
  readonly imports: readonly Import[];
}

export interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
  /** `export … from` */
  readonly reexport: boolean;
  readonly line: number;
}

export interface FunctionSpan {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

/** Words after which a slash begins a regular expression. */
const BEFORE_REGEX = new Set(['return', 'typeof', 'case', 'in', 'of', 'do', 'else', 'void', 'throw', 'new', 'await']);
const NO_FUNCTION = new Set(['if', 'for', 'while', 'switch', 'catch', 'with', 'return', 'await', 'do', 'else']);

export function readSource(path: string, source: string): SourceText {
  const { code, comments } = maskSource(source);
  return { path, source, code, comments, imports: findImports(source, code) };
}

export function lineOf(text: string, at: number): number {
  let line = 1;
  for (let i = text.indexOf('\n'); i >= 0 && i < at; i = text.indexOf('\n', i + 1)) line++;
  return line;
}

interface Masks {
  readonly code: string;
  readonly comments: string;
}

export function maskSource(source: string): Masks {
  const code = source.split('');
  const comments: string[] = code.map((character) => (character === '\n' ? '\n' : ' '));
  const blank = (start: number, end: number) => {
    for (let i = start; i < end; i++) if (source[i] !== '\n') code[i] = ' ';
  };
  /** Depth of braces at which each open template resumes. */
  const templates: number[] = [];
  let depth = 0;
  let at = source.startsWith('#!') ? source.indexOf('\n') : 0;
  if (at > 0) blank(0, at);
  while (at < source.length) {
    const character = source[at];
    let end = at + 1;
    if (source.startsWith('//', at) || source.startsWith('/*', at)) {
      end = commentEnd(source, at);
      for (let i = at; i < end; i++) comments[i] = source[i];
      blank(at, end);
    } else if (character === "'" || character === '"') {
      end = quoteEnd(source, at);
      blank(at + 1, end - 1);
    } else if (character === '`' || (character === '}' && templates.at(-1) === depth)) {
      if (character === '}') templates.pop();
      end = templateEnd(source, at + 1);
      blank(at + 1, end - 1);
      if (source[end - 1] === '{') templates.push(depth);
    } else if (character === '/' && startsRegex(code, at)) {
      end = regexEnd(source, at);
      blank(at + 1, end - 1);
    } else if (character === '{') depth++;
    else if (character === '}') depth--;
    at = end;
  }
  return { code: code.join(''), comments: comments.join('') };
}

function commentEnd(source: string, at: number): number {
  const block = source[at + 1] === '*';
  const end = source.indexOf(block ? '*/' : '\n', at + 2);
  if (end < 0) return source.length;
  return block ? end + 2 : end;
}

function quoteEnd(source: string, at: number): number {
  let i = at + 1;
  while (i < source.length && source[i] !== source[at] && source[i] !== '\n') i += source[i] === '\\' ? 2 : 1;
  return i + 1;
}

/** After the closing backtick, or after the `${` that opens an expression. */
function templateEnd(source: string, at: number): number {
  for (let i = at; i < source.length; i++) {
    if (source[i] === '\\') i++;
    else if (source[i] === '`') return i + 1;
    else if (source.startsWith('${', i)) return i + 2;
  }
  return source.length;
}

function startsRegex(code: readonly string[], at: number): boolean {
  let i = at - 1;
  while (i >= 0 && /\s/.test(code[i])) i--;
  if (i < 0) return true;
  if (/[\w$]/.test(code[i])) {
    let start = i;
    while (start > 0 && /[\w$]/.test(code[start - 1])) start--;
    return BEFORE_REGEX.has(code.slice(start, i + 1).join(''));
  }
  return !/[)\]}"'`]/.test(code[i]);
}

function regexEnd(source: string, at: number): number {
  let inClass = false;
  for (let i = at + 1; i < source.length && source[i] !== '\n'; i++) {
    if (source[i] === '\\') i++;
    else if (source[i] === '[') inClass = true;
    else if (source[i] === ']') inClass = false;
    else if (source[i] === '/' && !inClass) return i + 1;
  }
  return at + 1;
}

/** Static imports, re-exports and `import('…')` with a literal. */
function findImports(source: string, code: string): Import[] {
  const imports: Import[] = [];
  const statement = /^(import|export)\b(?:\s+(type)\b)?(?:[^;'"]*?\bfrom)?\s*(['"])/gm;
  for (const match of code.matchAll(statement)) {
    if (match[1] === 'export' && !/\bfrom\s*['"]$/.test(match[0])) continue;
    const quote = match.index + match[0].length - 1;
    imports.push({
      specifier: source.slice(quote + 1, source.indexOf(match[3], quote + 1)),
      typeOnly: match[2] === 'type' || allNamesAreTypes(match[0]),
      reexport: match[1] === 'export',
      line: lineOf(source, match.index),
    });
  }
  for (const match of code.matchAll(/\bimport\s*\(\s*(['"])/g)) {
    const quote = match.index + match[0].length - 1;
    const specifier = source.slice(quote + 1, source.indexOf(match[1], quote + 1));
    imports.push({ specifier, typeOnly: false, reexport: false, line: lineOf(source, match.index) });
  }
  return imports;
}

function allNamesAreTypes(statement: string): boolean {
  const names = /\{([^}]*)\}\s*from/.exec(statement)?.[1];
  if (names === undefined || !/^(?:import|export)\s*\{/.test(statement)) return false;
  return names.split(',').every((name) => /^\s*(type\s|$)/.test(name));
}

/** Functions, methods and arrow functions with a body in braces. */
export function findFunctions(code: string): FunctionSpan[] {
  const spans: FunctionSpan[] = [];
  const open: { readonly at: number; readonly name: string | null; readonly start: number }[] = [];
  for (let at = 0; at < code.length; at++) {
    if (code[at] === '{') open.push({ at, ...functionHead(code, at) });
    if (code[at] !== '}') continue;
    const block = open.pop();
    if (block === undefined || block.name === null) continue;
    const line = lineOf(code, block.start);
    spans.push({ name: block.name, line, lines: lineOf(code, at) - line + 1 });
  }
  return spans;
}

/** The name of the function whose body opens at `at`, null when the brace opens something else; and where it begins. */
function functionHead(code: string, at: number): { readonly name: string | null; readonly start: number } {
  const none = { name: null, start: at };
  const start = statementStart(code, at);
  const head = code.slice(start, at).trimEnd();
  const first = start + (code.slice(start, at).length - code.slice(start, at).trimStart().length);
  if (head.endsWith('=>')) {
    const name = /(?:const|let)\s+([\w$]+)/.exec(head)?.[1] ?? /([\w$#]+)\s*[:=][^:=]*=>$/.exec(head)?.[1];
    return { name: name ?? 'an arrow function', start: first };
  }
  const declared = /\bfunction\b\s*\*?\s*([\w$]*)/.exec(head);
  if (declared !== null) return { name: declared[1] || 'a function', start: first };
  const method = /^\s*(?:(?:static|async|override|get|set|readonly)\s+)*\*?(#?[\w$]+)\s*(?:<[^(]*>)?\(/.exec(head);
  if (method === null || NO_FUNCTION.has(method[1]) || !/\)\s*(?::[^=]*)?$/.test(head)) return none;
  return { name: method[1], start: first };
}

/** Walks back to the beginning of the statement or member, over whole brackets. */
function statementStart(code: string, at: number): number {
  let depth = 0;
  for (let i = at - 1; i >= 0; i--) {
    const character = code[i];
    if (character === ')' || character === ']') depth++;
    else if (character === '(' || character === '[') {
      if (depth === 0) return i + 1;
      depth--;
    } else if (depth > 0) continue;
    else if (character === ';' || character === '{') return i + 1;
    else if (character === '}') {
      const opening = openingBrace(code, i);
      // A type literal, as in `(): { readonly a: number } {`, belongs to the head.
      if (!/[:|&<,]\s*$/.test(code.slice(Math.max(0, opening - 20), opening))) return i + 1;
      i = opening;
    }
  }
  return 0;
}

function openingBrace(code: string, at: number): number {
  let depth = 0;
  for (let i = at; i >= 0; i--) {
    if (code[i] === '}') depth++;
    else if (code[i] === '{' && --depth === 0) return i;
  }
  return 0;
}
