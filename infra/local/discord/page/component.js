/**
 * Components as they arrive: one loose shape for all kinds, told apart by `type`.
 * @typedef {object} Component
 * @property {number} type
 * @property {string} [custom_id]
 * @property {string} [label]
 * @property {string} [description]
 * @property {string} [content]
 * @property {string} [placeholder]
 * @property {string} [url]
 * @property {string} [value]
 * @property {string} [name]
 * @property {number} [size]
 * @property {number} [style]
 * @property {number} [spacing]
 * @property {number} [min_values]
 * @property {number} [max_values]
 * @property {number} [min_length]
 * @property {number} [max_length]
 * @property {number | null} [accent_color]
 * @property {boolean} [disabled]
 * @property {boolean} [required]
 * @property {boolean} [divider]
 * @property {boolean} [spoiler]
 * @property {boolean} [default]
 * @property {{ name?: string }} [emoji]
 * @property {Media} [media]
 * @property {Media} [file]
 * @property {{ media: Media, description?: string | null, spoiler?: boolean }[]} [items]
 * @property {Component[]} [components]
 * @property {Component} [component]
 * @property {Component} [accessory]
 * @property {{ label: string, value: string, description?: string, emoji?: { name?: string }, default?: boolean }[]} [options]
 */
/** @typedef {{ url: string, width?: number | null, height?: number | null, content_type?: string | null }} Media */

export {};
