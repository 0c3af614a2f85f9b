/** `/sweep` draws every combination of a YAML's axes: given as text, as a file, or typed into a form. */
import { SlashCommandBuilder } from 'discord.js';
import { customId } from '#src/custom-ids.ts';
import { UserError } from '#src/errors.ts';
import { SWEEP_BYTES_MAX } from '#src/sweeps/parse.ts';
import { fetchUpload } from '#src/uploads/fetch.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';
import { sayTo } from './origin.ts';
import { makePlan, yamlForm, yamlOf } from './plan.ts';

/** What the form begins with: short enough to be understood, and it runs. */
const EXAMPLE = `prompt: portrait of a woman in a garden, red hair
axes:
  steps: 10, 20, 30
  guidance_scale: 4, 6, .., 8
seeds: 2
`;

export default {
  data: new SlashCommandBuilder()
    .setName('sweep')
    .setDescription('Draw every combination of some parameters. Opens a form unless you give the YAML.')
    .setContexts(Context.Guild)
    .setIntegrationTypes(Install.GuildInstall)
    .addStringOption((o) =>
      o
        .setName('config')
        .setDescription('YAML in one line, with \\n where a new line begins. Leave it out for a form.'),
    )
    .addAttachmentOption((o) => o.setName('file').setDescription('A YAML file.')),

  form: {
    unless: ['config', 'file'],
    open: (interaction) => yamlForm(sayTo(interaction), customId('sweep.new', interaction.user.id), EXAMPLE),
  },

  async run(interaction, origin) {
    const { options } = interaction;
    const config = options.getString('config');
    const file = options.getAttachment('file');
    if (config !== null && file)
      throw new UserError('plan_faults', { faults: [origin.say('Give `config` or `file`, not both.')] });
    const yaml = file ? (await fetchUpload(file, SWEEP_BYTES_MAX)).toString('utf8') : oneLine(config ?? '');
    return makePlan(interaction, origin, 'sweep', { yaml, ideas: [] });
  },

  press: {
    'sweep.new': {
      answers: 'reply',
      run: ({ interaction, origin }) =>
        makePlan(interaction, origin, 'sweep', { yaml: yamlOf(interaction), ideas: [] }),
    },
  },
} satisfies SlashCommand;

/** In some clients an option can't hold a line break: `\n` stands for one, and a code block's fences are dropped. */
export function oneLine(text: string): string {
  const lines = text.includes('\n') ? text : text.replaceAll('\\n', '\n');
  return lines.replace(/^\s*```(?:ya?ml)?\s*\n?/i, '').replace(/```\s*$/, '');
}
