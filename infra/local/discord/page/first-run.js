/**
 * What a channel shows in which nothing was asked for yet: three things to try, each put into the line by a click. What they do is
 * this demo's; a bot that has not these commands gets none of it.
 *
 * @import { Client } from './client.js'
 */
import { h } from './dom.js';

/** Where one asks for pictures; and in the direct message with the bot. */
const PLACES = ['portraits', 'sweeps'];

/**
 * @typedef {object} Trial something to try, as the line is filled with it
 * @property {string} title
 * @property {string} says
 * @property {string} command with its subcommand
 * @property {Record<string, string>} options a sample photo goes by its name
 */

/** @type {Trial[]} */
const TRIALS = [
  {
    title: 'Draw a portrait',
    says: 'It is there in a few seconds. Try the buttons under it.',
    command: 'imagine',
    options: { prompt: 'portrait of a woman, long red hair, emerald dress, forest' },
  },
  {
    title: 'Draw somebody from photos',
    says: 'With sample photos of people who do not exist. Then give /imagine the face ada.',
    command: 'faces add',
    options: { name: 'ada', photo1: 'ada-1.jpg' },
  },
  {
    title: 'Compare settings',
    says: 'Four portraits side by side. You see what it costs before anything is drawn.',
    command: 'sweep',
    options: {
      config:
        '{prompt: portrait of a man with a beard, axes: {steps: [4, 20], guidance_scale: [2, 7.5]}, seeds: 1}',
    },
  },
];

/**
 * @param {Client} client
 * @param {(trial: Trial) => void} onTry
 * @returns {HTMLElement | null} null where somebody asked for something already, or where one asks for nothing
 */
export function firstRun({ channel, messages, commands }, onTry) {
  if (!channel || !(channel.kind === 'dm' || PLACES.includes(channel.name))) return null;
  // The bot's own greeting may stand there.
  const all = [...messages.values()];
  if (all.length > 1 || all.some(({ interaction_metadata, author }) => interaction_metadata || !author.bot))
    return null;
  const trials = TRIALS.filter(({ command }) => commands.some(({ name }) => name === command.split(' ')[0]));
  if (!trials.length) return null;
  return h(
    'li',
    { class: 'first-run' },
    h('h3', {}, trials.length === 3 ? 'Three things to try' : 'To try'),
    h('p', {}, 'Click one, look at the line below, and send it.'),
    trials.map((trial) =>
      h(
        'button',
        { type: 'button', class: 'trial', onclick: () => onTry(trial) },
        h('b', {}, trial.title),
        h(
          'code',
          {},
          `/${trial.command} ${Object.entries(trial.options)
            .map(([name, value]) => `${name}: ${value}`)
            .join('  ')}`,
        ),
        h('small', {}, trial.says),
      ),
    ),
    h(
      'p',
      {},
      'You can be somebody else, too, as the operator or the moderator who reviews: bottom left, on a phone under ☰.',
    ),
  );
}
