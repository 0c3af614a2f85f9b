/**
 * `/detect`: the detector as a page, for everybody. A picture is looked at while its sender waits, in a process of its own, and is kept
 * nowhere; it needs no script, and sets no cookie.
 */
import multipart from '@fastify/multipart';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Detection, detectionOf } from '#src/cards/detection.ts';
import { UserError } from '#src/errors.ts';
import { detect as detectMarks, FILE_BYTES_MAX } from '#src/marks/detect.ts';
import { openPlaces } from '#src/places.ts';
import { message, sayIn } from '#src/say.ts';
import { guard, often, statusOf } from '../account/guard.ts';
import { network } from '../account/visitor.ts';
import { said } from '../account/words.ts';
import type { Area } from '../area.ts';
import { html } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import { send } from '../send.ts';

/** Files that come in at once, and of one network: each is in memory. */
const places = openPlaces({ each: 1, all: 4 });
const MEBIBYTES = FILE_BYTES_MAX / 2 ** 20;

export const detect: Area = async (app) => {
  await app.register(async (area) => {
    await guard(area);
    await area.register(multipart, {
      limits: { fileSize: FILE_BYTES_MAX, files: 1, fields: 0, parts: 1, headerPairs: 20 },
    });

    area.get('/detect', (request, reply) => send(request, reply, detectPage()));

    area.post('/detect', { ...often(10), bodyLimit: FILE_BYTES_MAX + 16 * 1024 }, async (request, reply) => {
      try {
        const detection = await detectSent(request);
        if (detection) return await answer(request, reply, { detection });
        return await answer(request, reply.code(400), { fault: 'Choose a picture first.' });
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        return answer(request, reply.code(statusOf(error)), { fault: error.userMessage });
      }
    });
  });
};

/** @returns null where no file was sent. @throws {UserError} `turns_taken`, `crowded`, and as `detectMarks` */
async function detectSent(request: FastifyRequest): Promise<Detection | null> {
  const from = network(request.ip);
  const full = places.take(from);
  if (full === 'each') throw new UserError('turns_taken', { what: message('pictures'), max: 1 });
  if (full === 'all') throw new UserError('crowded', {});
  try {
    const file = request.isMultipart() ? await request.file() : undefined;
    const bytes = await file?.toBuffer();
    if (!bytes?.length) return null;
    return detectionOf(sayIn('en'), await detectMarks(from, bytes, file?.filename || 'picture'));
  } finally {
    places.leave(from);
  }
}

interface Told {
  readonly detection?: Detection;
  /** what was wrong with the file */
  readonly fault?: string;
}

function answer(request: FastifyRequest, reply: FastifyReply, told: Told): Promise<FastifyReply> {
  return send(request, reply, detectPage(told), { own: true });
}

function detectPage({ detection, fault }: Told = {}): Page {
  return layout({
    title: detection ? detection.title : 'Was it drawn here?',
    path: '/detect',
    kind: 'text',
    description: 'See by its marks whether a picture was drawn here.',
    body: html`<h1>${detection ? detection.title : 'Was it drawn here?'}</h1>
${detection && found(detection)}
${fault !== undefined && html`<p role="alert">${said(fault)}</p>`}
${!detection && HOW}
<form method="post" action="/detect" enctype="multipart/form-data">
<p><label for="picture">${detection ? 'Another picture' : 'A picture'}</label>
<input type="file" id="picture" name="picture" accept="image/jpeg,image/png,image/webp,image/avif" required></p>
<p><button>Look for marks</button></p>
<p class="quiet">JPEG, PNG, WebP or AVIF, at most ${MEBIBYTES} MiB. It is looked at once, and kept nowhere.</p>
</form>`,
  });
}

const found = ({
  lines,
  pictures,
}: Detection) => html`<ul>${lines.map((line) => html`<li>${said(line)}</li>`)}</ul>
${pictures.length > 0 && html`<p>${pictures.map((id) => html`<a href="/pictures/${id}"><img src="/img/${id}/240" width="160" alt="The picture in the gallery"></a> `)}</p>`}`;

const HOW = html`<p>Every picture that is drawn here carries two marks. Its file has a signature (C2PA, and IPTC’s word for what an
algorithm made), which tells whether it was changed since. Its pixels have a watermark that nobody sees: it stays when the file is
saved anew, made smaller or cropped.</p>
<p>Choose a picture to see which of them it has. In Discord, <code>/detect</code> does the same. A picture without marks may still be
made by a machine: marks can be taken off, and most programs put none on.</p>`;
