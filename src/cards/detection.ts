/** What the detector says of a file, in Discord's words and on the web: first what it comes to, then what was seen of each mark. */
import type { Finding, Watermark } from '#src/marks/detect.ts';
import { message, type Say } from '#src/say.ts';
import { plain, relative } from '#src/text.ts';

type Claim = NonNullable<Finding['claim']>;

export interface Detection {
  readonly title: string;
  /** a sentence or several each */
  readonly lines: readonly string[];
  /** public pictures that it may be, ids of the gallery */
  readonly pictures: readonly string[];
}

const NAME_SHOWN = 80;

/** IPTC's words for how a picture came to be, as a claim of it. */
const SOURCES: Readonly<Record<string, string>> = {
  trainedAlgorithmicMedia: message('It says that a model drew it.'),
  compositeWithTrainedAlgorithmicMedia: message(
    'It says that it is composed of what a model drew, and other things.',
  ),
  compositeSynthetic: message('It says that it is composed, and that parts of it were made by a machine.'),
  algorithmicMedia: message('It says that an algorithm made it.'),
  digitalCapture: message('It says that a camera took it.'),
  computationalCapture: message('It says that a camera took it.'),
};

export function detectionOf(say: Say, { claim, watermark, below }: Finding): Detection {
  return {
    title: titleOf(say, claim, watermark),
    lines: [
      watermarkLine(say, watermark, below),
      claimLine(say, claim),
      ...(watermark || claim
        ? []
        : [
            say(
              'That proves nothing: marks can be taken off, small or cropped copies lose them, and most programs put none on.',
            ),
          ]),
    ],
    pictures: (watermark?.pictures ?? []).map(({ id }) => id),
  };
}

function titleOf(say: Say, claim: Claim | null, watermark: Watermark | null): string {
  if (watermark?.isOurs || (claim?.known && claim.intact)) return say('It was drawn here');
  if (claim?.known) return say('It comes from here, and was changed');
  if (watermark) return say('Another Atelier drew it');
  if (claim) return say('Somebody else has signed it');
  return say('No mark was found');
}

function watermarkLine(say: Say, watermark: Watermark | null, below: number | null): string {
  if (watermark?.isOurs)
    return watermark.pictures.length
      ? say('Its pixels have the watermark of a picture that was drawn here and is public.')
      : say(
          'Its pixels have the watermark of a picture that was drawn here. It is not in the public gallery, so nothing else is told of it.',
        );
  if (watermark)
    return say('Its pixels have the watermark of the Atelier with the number {number}.', {
      number: watermark.installation.toString(16).padStart(4, '0'),
    });
  if (below !== null)
    return say('It is too small to have a watermark: that takes {px} px a side.', { px: below });
  return say('Its pixels have no watermark of an Atelier.');
}

function claimLine(say: Say, claim: Claim | null): string {
  if (!claim) return say('It has no signature (C2PA).');
  const { intact, known, source } = claim;
  const signer = claim.signer === null ? null : plain(claim.signer, NAME_SHOWN);
  if (!intact) {
    if (known) return say('This installation has signed it (C2PA), and it was changed since.');
    if (signer === null) return say('It has a signature (C2PA) that cannot be read.');
    return say(
      'It has a signature by {signer} (C2PA) that does not hold: it was changed since, or the signature is a wrong one.',
      { signer },
    );
  }
  const says = source === null ? '' : SOURCES[source];
  const told = says ? [say(says)] : [];
  if (!known) {
    const by = signer
      ? say(
          'It is signed by {signer} (C2PA), and was not changed since. Who that is, this installation does not know.',
          {
            signer,
          },
        )
      : say('It is signed (C2PA), and was not changed since. By whom, it does not say.');
    return [by, ...told].join(' ');
  }
  const at = new Date(claim.at ?? Number.NaN);
  const by = Number.isNaN(at.getTime())
    ? say('This installation has signed it (C2PA), and it was not changed since.')
    : say('This installation has signed it (C2PA) {when}, and it was not changed since.', {
        when: relative(at),
      });
  return [by, ...told].join(' ');
}
