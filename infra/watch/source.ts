/**
 * What is watched, said once: the service levels, the alerts, and the panels. `generate.ts` makes of it what Prometheus, Grafana and
 * CloudWatch read; `npm run watch` draws the panels; a test holds every name in it against the metrics that there are.
 *
 * Alerts on a service level burn in several windows at once, as chapter 5 of Google's "The Site Reliability Workbook" (Alerting on SLOs,
 * table 5-8) has it: a long window says that it matters, a short one that it still goes on.
 */
import { tiers } from '#config/tiers.ts';

/** As Prometheus writes it: `5m`, `1h`, `3d`. */
export type Duration = `${number}${'s' | 'm' | 'h' | 'd'}`;
/** What windows and waiting times become: in a drill an hour is a few seconds. */
export interface Pace {
  /** of the service levels */
  readonly burn: (duration: Duration) => string;
  /** of everything else */
  readonly other: (duration: Duration) => string;
}
export const USUAL: Pace = { burn: (duration) => duration, other: (duration) => duration };

// Service levels

/** The share of requests that may go wrong. */
export const BUDGET = 0.001;
/** Fewer bad requests than this in the long window wake nobody: of ten requests in a night, one that fails is no trend. */
export const BAD_MIN = 5;

export interface Slo {
  readonly name: string;
  /** what a request is promised */
  readonly promise: string;
  /** counter and labels of requests that were not answered as promised */
  readonly bad: string;
  /** … and of all, but for those that were refused for a fault of whoever asked */
  readonly all: string;
}

export const slos: readonly Slo[] = [
  ...[...tiers].map(([tier, { within }]) => ({
    name: tier,
    promise: `its first picture within ${within} s`,
    bad: `atelier_requests_total{tier="${tier}", outcome=~"late|failed"}`,
    all: `atelier_requests_total{tier="${tier}", outcome=~"soon|late|failed"}`,
  })),
  {
    name: 'interactions',
    promise: 'what is typed and pressed is answered within 3 s, and not by an error id',
    bad: 'atelier_interactions_total{answer=~"failed|unanswered"}',
    all: 'atelier_interactions_total',
  },
  {
    name: 'web',
    promise: 'pages, pictures and the API answer without a 5xx',
    bad: 'atelier_web_requests_total{status="5xx"}',
    all: 'atelier_web_requests_total',
  },
];

interface Burn {
  /** times the rate at which the budget lasts exactly thirty days */
  readonly factor: number;
  readonly long: Duration;
  readonly short: Duration;
}
/** 2 % of the month's budget in an hour, or 5 % in six. */
export const FAST: readonly Burn[] = [
  { factor: 14.4, long: '1h', short: '5m' },
  { factor: 6, long: '6h', short: '30m' },
];
/** 10 % in three days. */
export const SLOW: Burn = { factor: 1, long: '3d', short: '6h' };

export interface Recording {
  readonly record: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What is read often is computed once: the share of bad requests in each window, and how many they were. */
export function recordings({ burn }: Pace = USUAL): Recording[] {
  const windows = [...new Set([...FAST, SLOW].flatMap(({ long, short }) => [short, long]))];
  return slos.flatMap(({ name, bad, all }) =>
    windows.flatMap((window) => {
      const over = burn(window);
      const labels = { slo: name };
      return [
        {
          record: `slo:bad:ratio_rate${window}`,
          expr: `(sum(rate(${bad}[${over}])) or vector(0)) / (sum(rate(${all}[${over}])) > 0)`,
          labels,
        },
        { record: `slo:bad:increase${window}`, expr: `sum(increase(${bad}[${over}]))`, labels },
      ];
    }),
  );
}

const burns = ({ factor, long, short }: Burn) => {
  const above = (window: Duration) => `slo:bad:ratio_rate${window} > ${Number((factor * BUDGET).toFixed(6))}`;
  return `(${above(long)} and ${above(short)} and slo:bad:increase${long} >= ${BAD_MIN})`;
};

// What waits

/** How long the person who waits longest has waited, as a share of what their tier is meant to take: by bundle and tier. */
export const overdue = [...tiers]
  .map(
    ([tier, { target }]) =>
      `max by (bundle, tier) (atelier_longest_wait_seconds{tier="${tier}"}) / ${target}`,
  )
  .join(' or ');
/** By it workers are scaled: above 1 there are too few. */
export const workersNeeded = `max(${overdue})`;

// Alerts

/** `page` wakes somebody; `ticket` is for the next morning. */
export type Severity = 'page' | 'ticket';

/** An alarm of CloudWatch's that says the same, of a metric that the collector sends as it is. */
export interface Twin {
  readonly metric: string;
  readonly dimensions?: Readonly<Record<string, string>>;
  readonly statistic: 'Maximum' | 'Minimum' | 'Sum' | 'Average';
  readonly above?: number;
  readonly below?: number;
  /** s, a multiple of 60 */
  readonly period: number;
  /** that are in a row so */
  readonly periods: number;
  /** no value is as bad as a wrong one */
  readonly missingIsBad?: true;
}

export interface Alert {
  readonly name: string;
  readonly expr: string;
  readonly for: Duration;
  readonly severity: Severity;
  /** a sentence, for whoever is woken */
  readonly summary: string;
  /** or why CloudWatch cannot say it */
  readonly cloudWatch: readonly Twin[] | string;
}

const SERVICES = ['bot', 'worker', 'courier', 'mecene', 'web'] as const;
const GIB = 2 ** 30;
/** Of a thousand a day. With the last hundred shards do not start again by themselves. */
const SESSIONS_MIN = 300;

/** @param pace of a drill */
export function alerts({ other }: Pace = USUAL): Alert[] {
  return [
    {
      name: 'BudgetBurnsFast',
      expr: FAST.map(burns).join(' or '),
      for: '0s',
      severity: 'page',
      summary: 'Requests of {{ $labels.slo }} go wrong so often that the month’s budget is gone in days.',
      cloudWatch: 'in composite alarms, one a service level: cloudwatch.json has them',
    },
    {
      name: 'BudgetBurnsSlow',
      expr: burns(SLOW),
      for: '0s',
      severity: 'ticket',
      summary: 'Requests of {{ $labels.slo }} go wrong a little too often, for days.',
      cloudWatch: 'in an alarm a service level: cloudwatch.json has them',
    },
    {
      name: 'ServiceGone',
      expr: SERVICES.map((service) => `absent(atelier_service_info{service="${service}"})`).join(' or '),
      for: '2m',
      severity: 'page',
      summary: 'No process of {{ $labels.service }} answers.',
      cloudWatch: SERVICES.map((service) => ({
        metric: 'atelier_service_info',
        dimensions: { service },
        statistic: 'Maximum',
        below: 1,
        period: 60,
        periods: 2,
        missingIsBad: true,
      })),
    },
    {
      name: 'ProcessRestarts',
      expr: `changes(process_start_time_seconds[${other('15m')}]) > 3`,
      for: '0s',
      severity: 'ticket',
      summary: 'A process of {{ $labels.job }} ends and starts again, over and over.',
      cloudWatch: 'it has no function that counts changes; ECS tells the service’s events of it',
    },
    {
      name: 'EventLoopLate',
      expr: `avg_over_time(nodejs_eventloop_lag_p99_seconds[${other('5m')}]) > 0.25`,
      for: '2m',
      severity: 'ticket',
      summary:
        'A process of {{ $labels.job }} is so busy with itself that what it is asked waits a quarter of a second.',
      cloudWatch: [
        {
          metric: 'nodejs_eventloop_lag_p99_seconds',
          statistic: 'Maximum',
          above: 0.25,
          period: 300,
          periods: 2,
        },
      ],
    },
    {
      name: 'PostgresAway',
      expr: 'absent(atelier_deliveries_due) and on () (count(atelier_service_info{service="web"}) > 0)',
      for: '1m',
      severity: 'page',
      summary: 'Postgres does not answer: nothing is accepted, drawn or posted.',
      cloudWatch: [
        {
          metric: 'atelier_deliveries_due',
          statistic: 'Maximum',
          below: 0,
          period: 60,
          periods: 2,
          missingIsBad: true,
        },
      ],
    },
    {
      name: 'StorageAway',
      expr: 'max(atelier_storage_up) == 0',
      for: '1m',
      severity: 'page',
      summary: 'Storage does not answer: what is drawn cannot be kept.',
      cloudWatch: [{ metric: 'atelier_storage_up', statistic: 'Maximum', below: 1, period: 60, periods: 2 }],
    },
    {
      name: 'StorageNearlyFull',
      // What fills in the first hours is caches: nothing is foretold of less than six.
      expr: `min(atelier_storage_free_bytes) < ${5 * GIB} or (min(predict_linear(atelier_storage_free_bytes[${other('6h')}], 86400)) < 0 and min(atelier_storage_free_bytes offset ${other('6h')}) > 0)`,
      for: '15m',
      severity: 'ticket',
      summary: 'Storage has room for 5 GiB, or for a day as it fills now.',
      cloudWatch: [
        {
          metric: 'atelier_storage_free_bytes',
          statistic: 'Minimum',
          below: 5 * GIB,
          period: 300,
          periods: 3,
        },
      ],
    },
    {
      name: 'NoWorker',
      expr: 'max by (bundle) (atelier_waiting_pictures) > 0 unless on (bundle) max by (bundle) (atelier_workers) > 0',
      for: '1m',
      severity: 'page',
      summary: 'Pictures wait for {{ $labels.bundle }}, and no worker is alive that draws with it.',
      cloudWatch:
        'it compares no two metrics bundle by bundle; ServiceGone and WaitPastTarget meet most of it',
    },
    {
      name: 'WorkerAside',
      expr: 'max by (bundle, reason) (atelier_workers_aside) > 0',
      for: '1m',
      severity: 'page',
      summary: 'Workers of {{ $labels.bundle }} take no pictures: {{ $labels.reason }}.',
      cloudWatch: [
        { metric: 'atelier_workers_aside', statistic: 'Maximum', above: 0, period: 60, periods: 2 },
      ],
    },
    {
      name: 'MemoryShort',
      expr: `sum(increase(atelier_failures_total{cause="memory_short"}[${other('15m')}])) > 0`,
      for: '0s',
      severity: 'ticket',
      summary: 'Pictures failed because workers have less memory than they need.',
      cloudWatch: [
        {
          metric: 'atelier_failures_total',
          dimensions: { cause: 'memory_short' },
          statistic: 'Sum',
          above: 0,
          period: 900,
          periods: 1,
        },
      ],
    },
    {
      name: 'PicturesFail',
      expr: `sum by (cause) (increase(atelier_failures_total{cause=~"internal|bundle_failed|storage_full"}[${other('15m')}])) > 3`,
      for: '0s',
      severity: 'ticket',
      summary: 'Pictures fail by a fault of ours: {{ $labels.cause }}.',
      cloudWatch: ['internal', 'bundle_failed', 'storage_full'].map((cause) => ({
        metric: 'atelier_failures_total',
        dimensions: { cause },
        statistic: 'Sum',
        above: 3,
        period: 900,
        periods: 1,
      })),
    },
    {
      name: 'WaitPastTarget',
      expr: `(${overdue}) > 1`,
      for: '5m',
      severity: 'ticket',
      summary:
        'Somebody waits for {{ $labels.bundle }} in {{ $labels.tier }} longer than the tier is meant to take.',
      cloudWatch: [...tiers].map(([tier, { target }]) => ({
        metric: 'atelier_longest_wait_seconds',
        dimensions: { tier },
        statistic: 'Maximum',
        above: target,
        period: 60,
        periods: 5,
      })),
    },
    {
      name: 'DeliveriesLate',
      expr: `max(min_over_time(atelier_deliveries_due[${other('10m')}])) > 10 and max(delta(atelier_deliveries_due[${other('10m')}])) > 0`,
      for: '0s',
      severity: 'page',
      summary: 'Messages are due in Discord that do not come, and they grow more.',
      cloudWatch: [
        { metric: 'atelier_deliveries_due', statistic: 'Minimum', above: 10, period: 600, periods: 1 },
      ],
    },
    {
      name: 'DiscordFails',
      expr: `sum(rate(atelier_discord_request_seconds_count{status=~"5..|none"}[${other('5m')}])) / sum(rate(atelier_discord_request_seconds_count[${other('5m')}])) > 0.1`,
      for: '2m',
      severity: 'ticket',
      summary: 'Discord fails to answer more than a tenth of what it is asked.',
      cloudWatch:
        'the collector sends histograms without their labels’ counts; DeliveriesLate meets what follows of it',
    },
    {
      name: 'DiscordLimits',
      expr: `sum(increase(atelier_discord_limited_total{scope=~"global|wall"}[${other('10m')}])) > 5`,
      for: '0s',
      severity: 'page',
      summary:
        'Discord refuses this bot as a whole: a ban for an hour follows ten thousand of such answers in ten minutes.',
      cloudWatch: ['global', 'wall'].map((scope) => ({
        metric: 'atelier_discord_limited_total',
        dimensions: { scope },
        statistic: 'Sum',
        above: 5,
        period: 600,
        periods: 1,
      })),
    },
    {
      name: 'ShardDisconnected',
      expr: '(sum(atelier_shard_connected) or vector(0)) < sum(atelier_shards_wanted)',
      for: '2m',
      severity: 'page',
      summary: 'Shards of the bot are not connected to Discord: their servers get no answer.',
      cloudWatch: [
        { metric: 'atelier_shard_connected', statistic: 'Minimum', below: 1, period: 60, periods: 3 },
      ],
    },
    {
      name: 'IdentifyBudget',
      expr: `min(atelier_gateway_sessions_left) < ${SESSIONS_MIN}`,
      for: '0s',
      severity: 'page',
      summary: 'The bot has few left of the sessions that Discord gives it in a day.',
      cloudWatch: [
        {
          metric: 'atelier_gateway_sessions_left',
          statistic: 'Minimum',
          below: SESSIONS_MIN,
          period: 300,
          periods: 1,
        },
      ],
    },
    {
      name: 'PicturesWithoutBytes',
      expr: 'max(atelier_pictures_without_bytes) > 0',
      for: '15m',
      severity: 'ticket',
      summary: 'Pictures that people can see have no bytes in storage.',
      cloudWatch: [
        { metric: 'atelier_pictures_without_bytes', statistic: 'Maximum', above: 0, period: 300, periods: 3 },
      ],
    },
    {
      name: 'ReviewsOld',
      expr: 'max(atelier_oldest_review_seconds) > 86400',
      for: '5m',
      severity: 'ticket',
      summary: 'A flagged or reported picture has waited for a moderator for a day.',
      cloudWatch: [
        {
          metric: 'atelier_oldest_review_seconds',
          statistic: 'Maximum',
          above: 86_400,
          period: 300,
          periods: 1,
        },
      ],
    },
  ];
}

// Panels

export interface Panel {
  readonly title: string;
  /** as Grafana names it */
  readonly unit: 's' | 'short' | 'bytes' | 'percentunit' | 'reqps';
  readonly queries: readonly { readonly expr: string; readonly legend: string }[];
  /** a line across it */
  readonly limit?: number;
  readonly stacked?: true;
}

/** In panels: what Grafana puts in by itself, a few times the time between two scrapes. */
export const RATE = '$__rate_interval';
const p = (share: number, metric: string, by: string) =>
  `histogram_quantile(${share}, sum by (le, ${by}) (rate(${metric}_bucket[${RATE}])))`;
const rate = (metric: string, by: string) => `sum by (${by}) (rate(${metric}[${RATE}]))`;

export const panels: readonly Panel[] = [
  {
    title: 'Budget burns, times what lasts a month',
    unit: 'short',
    queries: [{ expr: `slo:bad:ratio_rate1h / ${BUDGET}`, legend: '{{slo}}' }],
    limit: FAST[0]?.factor ?? 0,
  },
  {
    title: 'Requests by outcome',
    unit: 'reqps',
    queries: [{ expr: rate('atelier_requests_total', 'tier, outcome'), legend: '{{tier}} {{outcome}}' }],
    stacked: true,
  },
  {
    title: 'First picture, 50 and 99 of 100',
    unit: 's',
    queries: [0.5, 0.99].map((share) => ({
      expr: p(share, 'atelier_request_seconds', 'tier'),
      legend: `{{tier}} p${share * 100}`,
    })),
  },
  {
    title: 'Pictures that wait',
    unit: 'short',
    queries: [{ expr: 'max by (bundle, tier) (atelier_waiting_pictures)', legend: '{{bundle}} {{tier}}' }],
    stacked: true,
  },
  {
    title: 'Longest wait, as a share of the tier’s target',
    unit: 'percentunit',
    queries: [{ expr: overdue, legend: '{{bundle}} {{tier}}' }],
    limit: 1,
  },
  {
    title: 'Workers',
    unit: 'short',
    queries: [
      { expr: 'max by (bundle) (atelier_workers)', legend: '{{bundle}}' },
      { expr: 'max by (bundle, reason) (atelier_workers_aside)', legend: '{{bundle}} aside: {{reason}}' },
    ],
  },
  {
    title: 'Stages of a picture, mean',
    unit: 's',
    queries: [
      {
        expr: `${rate('atelier_stage_seconds_sum', 'stage')} / ${rate('atelier_stage_seconds_count', 'stage')}`,
        legend: '{{stage}}',
      },
    ],
    stacked: true,
  },
  {
    title: 'Pictures that ended',
    unit: 'reqps',
    queries: [
      { expr: rate('atelier_pictures_total', 'outcome'), legend: '{{outcome}}' },
      { expr: rate('atelier_failures_total', 'cause'), legend: 'failed: {{cause}}' },
    ],
  },
  {
    title: 'Messages due, and how late they are (99 of 100)',
    unit: 'short',
    queries: [
      { expr: 'max(atelier_deliveries_due)', legend: 'due' },
      { expr: p(0.99, 'atelier_delivery_seconds', 'kind'), legend: '{{kind}}, s late' },
    ],
  },
  {
    title: 'Interactions by answer',
    unit: 'reqps',
    queries: [{ expr: rate('atelier_interactions_total', 'answer'), legend: '{{answer}}' }],
    stacked: true,
  },
  {
    title: 'Until Discord has our first answer, 99 of 100',
    unit: 's',
    queries: [{ expr: p(0.99, 'atelier_acknowledge_seconds', 'by'), legend: '{{by}}' }],
    limit: 3,
  },
  {
    title: 'Requests to Discord by status',
    unit: 'reqps',
    queries: [{ expr: rate('atelier_discord_request_seconds_count', 'status'), legend: '{{status}}' }],
    stacked: true,
  },
  {
    title: 'Shards',
    unit: 'short',
    queries: [
      { expr: 'sum(atelier_shard_connected)', legend: 'connected' },
      { expr: 'sum(atelier_shards_wanted)', legend: 'wanted' },
    ],
  },
  {
    title: 'Web requests by status',
    unit: 'reqps',
    queries: [{ expr: rate('atelier_web_requests_total', 'status'), legend: '{{status}}' }],
    stacked: true,
  },
  {
    title: 'Event loops, how late (99 of 100)',
    unit: 's',
    queries: [{ expr: 'nodejs_eventloop_lag_p99_seconds', legend: '{{job}} {{shards}}' }],
    limit: 0.25,
  },
  {
    title: 'Memory of processes',
    unit: 'bytes',
    queries: [{ expr: 'process_resident_memory_bytes', legend: '{{job}} {{shards}}' }],
    stacked: true,
  },
  {
    title: 'CPU, cores',
    unit: 'short',
    queries: [{ expr: `rate(process_cpu_seconds_total[${RATE}])`, legend: '{{job}} {{shards}}' }],
    stacked: true,
  },
  {
    title: 'Reviews open, pictures without bytes',
    unit: 'short',
    queries: [
      { expr: 'max(atelier_reviews_open)', legend: 'reviews' },
      { expr: 'max(atelier_pictures_without_bytes)', legend: 'without bytes' },
    ],
  },
];
