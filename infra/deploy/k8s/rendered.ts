/** The manifests as `kubectl kustomize` makes them, and what the published schemas say of each object. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

export const FOLDER = fileURLToPath(new URL('.', import.meta.url));
/** Overlays, and the component for a cluster without GPUs on one of them. */
export const VARIANTS = [
  'overlays/one-node',
  'overlays/many',
  'overlays/one-node with components/cpu',
] as const;

export const Manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type Manifest = z.output<typeof Manifest>;

/** Why it can't be rendered or checked here; null: it can. Debian's own kubectl, 1.20, has a kustomize that knows no components. */
export function whatIsMissing(): string | null {
  const { stdout, error } = spawnSync('kubectl', ['version', '--client', '--output=json'], {
    encoding: 'utf8',
  });
  if (error) return 'there is no kubectl';
  const [, minor = '0'] = /"gitVersion": "v1\.(\d+)/.exec(stdout) ?? [];
  if (Number(minor) < 27) return `kubectl is 1.${minor}, and 1.27 is wanted`;
  if (!existsSync(join(FOLDER, 'node_modules/kubernetes-models')))
    return 'run `npm ci` in infra/deploy/k8s first';
  return null;
}

/** @throws {Error} with what kustomize says, warnings too */
export function render(variant: string): Manifest[] {
  const [overlay = '', component] = variant.split(' with ');
  const dir = component ? mkdtempSync(join(FOLDER, '.variant-')) : join(FOLDER, overlay);
  try {
    if (component)
      writeFileSync(
        join(dir, 'kustomization.yaml'),
        `resources: [../${overlay}]\ncomponents: [../${component}]\n`,
      );
    const { stdout, stderr, status } = spawnSync('kubectl', ['kustomize', dir], { encoding: 'utf8' });
    if (status !== 0 || stderr) throw new Error(stderr || `kustomize ended with ${status}`);
    return parseAllDocuments(stdout).map((document) => Manifest.parse(document.toJS()));
  } finally {
    if (component) rmSync(dir, { recursive: true });
  }
}

/** Package and path of an object's schema, as kubernetes-models names them. */
const modelOf = ({ apiVersion, kind }: Manifest) =>
  `${apiVersion.startsWith('keda.sh/') ? '@kubernetes-models/keda' : 'kubernetes-models'}/${apiVersion}/${kind}`;

interface Model {
  validate(): void;
}

/** By the compiled schemas: types, enums, formats, what must be there. @returns a sentence for each fault */
export async function faultsOf(manifests: readonly Manifest[]): Promise<string[]> {
  const faults: string[] = [];
  for (const manifest of manifests) {
    const file = join(FOLDER, 'node_modules', `${modelOf(manifest)}.js`);
    if (!existsSync(file)) throw new Error(`There is no schema of ${manifest.apiVersion} ${manifest.kind}.`);
    const module = (await import(pathToFileURL(file).href)) as Record<string, new (data: object) => Model>;
    const Kind = module[manifest.kind]!;
    try {
      new Kind(manifest).validate();
    } catch (error) {
      faults.push(
        `${manifest.kind} ${manifest.metadata.name}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  return faults;
}

/**
 * By the types of the same schemas, as validating lets fields pass that nobody knows: `readinesProbe` would be ignored.
 *
 * @returns what the compiler says
 */
export function unknownFields(manifests: readonly Manifest[]): string {
  const dir = mkdtempSync(join(FOLDER, '.typed-'));
  try {
    const lines = manifests.flatMap((manifest, i) => [
      `import type { I${manifest.kind} as T${i} } from '${modelOf(manifest)}';`,
      `export const o${i}: T${i} = ${JSON.stringify(manifest, null, 1)};`,
    ]);
    writeFileSync(join(dir, 'manifests.ts'), lines.join('\n'));
    const tsc = fileURLToPath(new URL('../../../node_modules/.bin/tsc', import.meta.url));
    const options = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--types',
      '',
    ];
    const { stdout } = spawnSync(tsc, [...options, 'manifests.ts'], { cwd: dir, encoding: 'utf8' });
    return stdout;
  } finally {
    rmSync(dir, { recursive: true });
  }
}
