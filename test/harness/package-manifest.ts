// Owns the two manifests of the published package, made from the repository's: the one people resolve `millrace` by,
// and the one inside the built folder, by which its modules find each other. Pure.

export const BUILT = 'dist';

/** Repository manifest, as far as it is looked at. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** Fields that say how the repository is worked on, and mean nothing to who installs the package. */
const OF_THE_REPOSITORY = ['scripts', 'devDependencies', 'allowScripts', 'imports'];

export function packedManifest(manifest: Manifest): object {
  const kept = Object.entries(manifest).filter(([name]) => !OF_THE_REPOSITORY.includes(name));
  const entries = Object.entries(manifest.exports).map(([entry, source]) => [
    entry,
    { types: built(source, '.d.ts'), default: built(source, '.js') },
  ]);
  return {
    ...Object.fromEntries(kept),
    bin: Object.fromEntries(Object.entries(manifest.bin).map(([name, source]) => [name, built(source, '.js')])),
    exports: { ...Object.fromEntries(entries), './package.json': './package.json' },
  };
}

/** Sources name each other by `#folder/file.ts`, and so does what was built from them. */
export function builtManifest({ name, version, imports }: Manifest): object {
  const targets = Object.entries(imports).map(([pattern, folder]) => [
    `${pattern}.ts`,
    { types: `${folder}.d.ts`, default: `${folder}.js` },
  ]);
  return { name, version, private: true, type: 'module', imports: Object.fromEntries(targets) };
}

function built(source: string, ending: string): string {
  return source.replace(/^\.\/(.*)\.ts$/, `./${BUILT}/$1${ending}`);
}
