/**
 * A Ceph of one process each, in memory, with its S3 gateway: a real S3 of this machine, for tests. From Debian's `radosgw`, `ceph-mon`,
 * `ceph-osd` and `ceph-common`; it is there after about 12 s.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import type { S3Settings } from '#config/env.ts';
import { freePort } from './free-port.ts';

const run = promisify(execFile);
const PROGRAMS = ['ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'ceph', 'monmaptool', 'ceph-authtool'];
const ANSWERS_WITHIN_MS = 40_000;

/** Whether all that it takes is on `path`. */
export function hasRadosgw(path: string): boolean {
  const folders = path.split(delimiter);
  return PROGRAMS.every((program) => folders.some((folder) => existsSync(join(folder, program))));
}

export interface LocalRadosgw {
  readonly settings: S3Settings;
  stop(): Promise<void>;
}

/** @param dir short, as its sockets are named after it; what is in it belongs to Ceph from now on */
export async function startRadosgw(dir: string): Promise<LocalRadosgw> {
  const [port, monitorPort] = [await freePort(), await freePort()];
  const keys = { accessKeyId: 'LOCAL', secretAccessKey: randomUUID() };
  const endpoint = `http://127.0.0.1:${port}`;
  const settings = { bucket: 'pictures', endpoint, region: 'us-east-1', keys, pathStyle: true };
  const [cluster, disk] = [randomUUID(), randomUUID()];
  const conf = join(dir, 'ceph.conf');
  const ring = join(dir, 'keyring');
  const ceph = (program: string, ...args: string[]) =>
    run(program, ['-c', conf, ...args], { timeout: ANSWERS_WITHIN_MS });
  await Promise.all(['mon', 'osd'].map((name) => mkdir(join(dir, name), { recursive: true })));
  await writeFile(conf, configuration(dir, cluster, monitorPort));
  await run('ceph-authtool', [
    '--create-keyring',
    ring,
    '--gen-key',
    '-n',
    'mon.',
    '--cap',
    'mon',
    'allow *',
  ]);
  const map = join(dir, 'monmap');
  const address = `[v1:127.0.0.1:${monitorPort}]`;
  await run('monmaptool', ['--create', '--clobber', '--addv', 'a', address, '--fsid', cluster, map]);
  await ceph('ceph-mon', '-i', 'a', '--mkfs', '--monmap', map, '--keyring', ring);
  const stop = async () => {
    for (const name of ['client.rgw', 'osd.0', 'mon.a']) {
      const pid = Number(await readFile(join(dir, `${name}.pid`), 'utf8').catch(() => ''));
      if (pid > 0) process.kill(pid, 'SIGKILL');
    }
  };
  try {
    await ceph('ceph-mon', '-i', 'a');
    // In its first moments the monitor knows not even its own cluster ("wrong fsid").
    await again(() => ceph('ceph', 'osd', 'new', disk));
    await ceph('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', disk);
    await again(() => ceph('ceph-osd', '-i', '0'));
    await ceph('radosgw', '-n', 'client.rgw', `--rgw-frontends=beast endpoint=127.0.0.1:${port}`);
    await again(() => fetch(endpoint));
    const { accessKeyId, secretAccessKey } = keys;
    const user = ['--uid=tests', '--display-name=tests'];
    const given = [`--access-key=${accessKeyId}`, `--secret-key=${secretAccessKey}`];
    await ceph('radosgw-admin', 'user', 'create', ...user, ...given);
    const client = new S3Client({
      region: settings.region,
      endpoint,
      credentials: keys,
      forcePathStyle: true,
    });
    await client.send(new CreateBucketCommand({ Bucket: settings.bucket }));
    client.destroy();
  } catch (error) {
    await stop();
    throw error;
  }
  return { settings, stop };
}

async function again(work: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + ANSWERS_WITHIN_MS;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(250);
    }
  }
}

/** One disk, in memory; one copy of everything; nobody is asked who he is but at the gateway. */
function configuration(dir: string, cluster: string, monitorPort: number): string {
  return `[global]
fsid = ${cluster}
mon host = v1:127.0.0.1:${monitorPort}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1073741824
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 0
mon data = ${dir}/mon
osd data = ${dir}/osd
rgw data = ${dir}/rgw
keyring = ${dir}/keyring
run dir = ${dir}
crash dir = ${dir}
admin socket = ${dir}/$name.asok
log file = ${dir}/$name.log
pid file = ${dir}/$name.pid
`;
}
