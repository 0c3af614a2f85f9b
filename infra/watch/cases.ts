/**
 * Series that each alert must fire on, and those that it must be quiet on, for `promtool test rules`: time in them is made up, so days
 * pass at once. `check.ts` runs them.
 */
import { alerts, BUDGET } from './source.ts';

export interface Case {
  readonly alert: string;
  /** series → a value a minute, as promtool writes it: `0+3x60` rises by 3 sixty times, `_` is none */
  readonly series: Readonly<Record<string, string>>;
  /** when it fires */
  readonly at: string;
  /** of what fires */
  readonly labels?: Readonly<Record<string, string>>;
  /** when it does not */
  readonly quietAt: string;
}

const all = Object.fromEntries(
  ['bot', 'worker', 'courier', 'mecene', 'web'].map((service) => [
    `atelier_service_info{service="${service}"}`,
    '1x60',
  ]),
);
const requests = (outcome: string) => `atelier_requests_total{tier="fast", outcome="${outcome}"}`;

export const cases: readonly Case[] = [
  {
    // An outage of ten minutes: the short windows let go half an hour after its end.
    alert: 'BudgetBurnsFast',
    series: {
      [requests('soon')]: '0+100x60 6000+0x10 6000+100x60',
      [requests('failed')]: '0x60 0+100x10 1000x60',
    },
    at: '69m',
    labels: { slo: 'fast' },
    quietAt: '110m',
  },
  {
    // Late is as bad as failed, and four in an hour are too few to wake anybody.
    alert: 'BudgetBurnsFast',
    series: { [requests('soon')]: '0+1x400', [requests('late')]: '0x10 0+1x4 4x100 4+1x290' },
    at: '400m',
    labels: { slo: 'fast' },
    quietAt: '15m',
  },
  {
    alert: 'BudgetBurnsFast',
    series: {
      'atelier_web_requests_total{status="2xx"}': '0+1000x400',
      'atelier_web_requests_total{status="5xx"}': '0x30 0+20x370',
    },
    at: '100m',
    labels: { slo: 'web' },
    quietAt: '29m',
  },
  {
    // Twice as many as the budget has: no page, and in three days a ticket.
    alert: 'BudgetBurnsSlow',
    series: {
      'atelier_interactions_total{command="imagine", answer="done"}': '0+1000x5000',
      'atelier_interactions_total{command="imagine", answer="failed"}': `0x500 0+${1000 * BUDGET * 2}x4500`,
    },
    at: '5000m',
    labels: { slo: 'interactions' },
    quietAt: '500m',
  },
  {
    alert: 'ServiceGone',
    series: { ...all, 'atelier_service_info{service="courier"}': '1x10 _x20 1x20' },
    at: '20m',
    labels: { service: 'courier' },
    quietAt: '40m',
  },
  {
    alert: 'ProcessRestarts',
    series: { 'process_start_time_seconds{job="worker"}': '100x20 200x2 300x2 400x2 500x60' },
    at: '33m',
    labels: { job: 'worker' },
    quietAt: '60m',
  },
  {
    alert: 'EventLoopLate',
    series: { 'nodejs_eventloop_lag_p99_seconds{job="bot"}': '0.02x10 0.6x20 0.02x20' },
    at: '25m',
    labels: { job: 'bot' },
    quietAt: '45m',
  },
  {
    alert: 'PostgresAway',
    series: { ...all, atelier_deliveries_due: '0x10 _x20 0x20' },
    at: '20m',
    quietAt: '40m',
  },
  {
    alert: 'StorageAway',
    series: { atelier_storage_up: '1x10 0x10 1x10' },
    at: '15m',
    quietAt: '25m',
  },
  {
    alert: 'StorageNearlyFull',
    // 100 GiB, of which one goes every ten minutes: full in less than a day.
    series: { atelier_storage_free_bytes: `107374182400x60 107374182400-107374182x500` },
    at: '450m',
    quietAt: '50m',
  },
  {
    alert: 'StorageNearlyFull',
    series: { atelier_storage_free_bytes: '1e10x30 4e9x30' },
    at: '60m',
    quietAt: '20m',
  },
  {
    alert: 'NoWorker',
    series: {
      'atelier_waiting_pictures{bundle="noir", tier="fast"}': '3x30',
      'atelier_waiting_pictures{bundle="reference", tier="fast"}': '3x30',
      'atelier_workers{bundle="reference"}': '2x30',
      'atelier_workers{bundle="noir"}': '1x10 _x20',
    },
    at: '20m',
    labels: { bundle: 'noir' },
    quietAt: '10m',
  },
  {
    alert: 'WorkerAside',
    series: { 'atelier_workers_aside{bundle="noir", reason="storage_full"}': '_x5 2x10 _x20' },
    at: '10m',
    labels: { bundle: 'noir', reason: 'storage_full' },
    quietAt: '30m',
  },
  {
    alert: 'MemoryShort',
    series: { 'atelier_failures_total{cause="memory_short"}': '0x10 1x40' },
    at: '15m',
    quietAt: '40m',
  },
  {
    alert: 'PicturesFail',
    series: {
      'atelier_failures_total{cause="internal"}': '0x10 0+1x10 10x40',
      'atelier_failures_total{cause="gone"}': '0+10x60',
    },
    at: '20m',
    labels: { cause: 'internal' },
    quietAt: '50m',
  },
  {
    alert: 'WaitPastTarget',
    series: {
      'atelier_longest_wait_seconds{bundle="noir", tier="fast"}': '5x10 30x20 5x20',
      'atelier_longest_wait_seconds{bundle="noir", tier="relax"}': '200x60',
    },
    at: '20m',
    labels: { bundle: 'noir', tier: 'fast' },
    quietAt: '40m',
  },
  {
    // Forty that go again are a sweep; twenty that grow are not.
    alert: 'DeliveriesLate',
    series: { atelier_deliveries_due: '0x20 40-4x10 0x20 20+2x30' },
    at: '75m',
    quietAt: '29m',
  },
  {
    alert: 'DiscordFails',
    series: {
      'atelier_discord_request_seconds_count{method="POST", route="/x", status="200"}': '0+100x60',
      'atelier_discord_request_seconds_count{method="POST", route="/x", status="503"}': '0x20 0+40x10 400x40',
    },
    at: '29m',
    quietAt: '45m',
  },
  {
    alert: 'DiscordLimits',
    series: {
      'atelier_discord_limited_total{scope="wall"}': '0x10 0+2x10 20x40',
      'atelier_discord_limited_total{scope="user"}': '0+50x60',
    },
    at: '18m',
    quietAt: '45m',
  },
  {
    alert: 'ShardDisconnected',
    series: {
      atelier_shards_wanted: '2x60',
      'atelier_shard_connected{shard="0"}': '1x60',
      'atelier_shard_connected{shard="1"}': '1x10 0x10 _x10 1x20',
    },
    at: '25m',
    quietAt: '45m',
  },
  {
    alert: 'IdentifyBudget',
    series: { atelier_gateway_sessions_left: '900x60 900-8x100 1000x60' },
    at: '150m',
    quietAt: '60m',
  },
  {
    alert: 'PicturesWithoutBytes',
    series: { atelier_pictures_without_bytes: '0x10 2x40' },
    at: '40m',
    quietAt: '20m',
  },
  {
    alert: 'ReviewsOld',
    series: { atelier_oldest_review_seconds: '86000+60x20 0x20' },
    at: '19m',
    quietAt: '30m',
  },
];

/** As promtool reads them. */
export function promtoolTests(rulesFile: string) {
  const known = new Map(alerts().map((alert) => [alert.name, alert]));
  return {
    rule_files: [rulesFile],
    evaluation_interval: '1m',
    tests: cases.map(({ alert, series, at, labels = {}, quietAt }) => {
      const { severity = '', summary = '' } = known.get(alert) ?? {};
      const said = summary.replaceAll(
        /\{\{ \$labels\.(\w+) \}\}/g,
        (_, label: string) => labels[label] ?? '',
      );
      return {
        interval: '1m',
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        alert_rule_test: [
          {
            eval_time: at,
            alertname: alert,
            exp_alerts: [
              {
                exp_labels: { severity, ...labels },
                exp_annotations: { summary: said, runbook: `infra/watch/runbooks/${alert}.md` },
              },
            ],
          },
          { eval_time: quietAt, alertname: alert, exp_alerts: [] },
        ],
      };
    }),
  };
}
