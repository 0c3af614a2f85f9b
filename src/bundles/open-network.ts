/** Opens one network of a bundle under the names that pipelines know. */
import { join } from 'node:path';
import { type OpenSession, openSession, type SessionOptions } from '#src/doors/onnx.ts';
import type { NetworkFile } from './networks.ts';

/** What it takes to open a network; everything else that was read of its file is let go. */
export type Openable = Pick<NetworkFile, 'role' | 'path' | 'renamed' | 'data'> & {
  /** of its files */
  readonly bytes: number;
};

/** A network under the names that pipelines know. @throws {Error} of onnxruntime */
export async function openNetwork(
  dir: string,
  { role, path, renamed, data }: Omit<Openable, 'bytes'>,
  options: SessionOptions,
): Promise<OpenSession> {
  const session = await openSession(join(dir, path), {
    network: role,
    keepOptimised: !data.length,
    ...options,
  });
  return underOurNames(session, renamed);
}

/** @param renamed our name of an output → the file's */
function underOurNames(session: OpenSession, renamed: NetworkFile['renamed']): OpenSession {
  if (!Object.keys(renamed).length) return session;
  const ours = new Map(Object.entries(renamed).map(([our, their]) => [their, our]));
  const our = (name: string) => ours.get(name) ?? name;
  return {
    ...session,
    outputs: session.outputs.map((info) => ({ ...info, name: our(info.name) })),
    async run(feeds, fetches) {
      const results = await session.run(
        feeds,
        fetches?.map((name) => renamed[name] ?? name),
      );
      return Object.fromEntries(Object.entries(results).map(([name, value]) => [our(name), value]));
    },
  };
}
