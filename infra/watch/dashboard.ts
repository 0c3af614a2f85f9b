/** The panels as a dashboard of Grafana's (schema 39, Grafana 11): whoever imports it says which Prometheus it asks. */
import { panels } from './source.ts';

/** Of 24 columns. */
const WIDTH = 8;
const HEIGHT = 8;
/** Grafana puts in which one was chosen. */
const DATASOURCE = { type: 'prometheus', uid: '$datasource' };

export function dashboard() {
  return {
    uid: 'atelier',
    title: 'Atelier',
    description: 'Made of infra/watch/source.ts.',
    tags: ['atelier'],
    schemaVersion: 39,
    editable: false,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    timezone: 'utc',
    templating: {
      list: [{ name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Prometheus', hide: 0 }],
    },
    annotations: {
      list: [
        {
          name: 'Alerts',
          datasource: DATASOURCE,
          enable: true,
          iconColor: 'red',
          expr: 'ALERTS{alertstate="firing"}',
          titleFormat: '{{alertname}}',
        },
      ],
    },
    panels: panels.map(({ title, unit, queries, limit, stacked }, i) => ({
      id: i + 1,
      type: 'timeseries',
      title,
      datasource: DATASOURCE,
      gridPos: {
        x: (i * WIDTH) % 24,
        y: Math.floor((i * WIDTH) / 24) * HEIGHT,
        w: WIDTH,
        h: HEIGHT,
      },
      targets: queries.map(({ expr, legend }, at) => ({
        refId: String.fromCharCode(65 + at),
        datasource: DATASOURCE,
        expr,
        legendFormat: legend,
        range: true,
      })),
      fieldConfig: {
        defaults: {
          unit,
          min: 0,
          custom: {
            fillOpacity: stacked ? 30 : 0,
            stacking: { mode: stacked ? 'normal' : 'none' },
            thresholdsStyle: { mode: limit === undefined ? 'off' : 'line' },
          },
          ...(limit !== undefined && {
            thresholds: {
              mode: 'absolute',
              steps: [
                { color: 'green', value: null },
                { color: 'red', value: limit },
              ],
            },
          }),
        },
        overrides: [],
      },
      options: { tooltip: { mode: 'multi' }, legend: { showLegend: true, displayMode: 'list' } },
    })),
  };
}
