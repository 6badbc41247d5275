/**
 * Schedules that aim at one guard each: few machines, blocks that everybody wants, and the one order
 * of events in which the guard matters, with every time drawn anew. A seed has either one of these or
 * the general mix of faults.
 */
import * as clearing from './themes/clearing-themes.ts'
import * as configuration from './themes/configuration-themes.ts'
import * as copies from './themes/copy-themes.ts'
import * as disks from './themes/disk-themes.ts'
import * as gateways from './themes/gateway-themes.ts'
import * as leases from './themes/lease-themes.ts'
import * as masks from './themes/mask-themes.ts'
import * as sessions from './themes/session-themes.ts'
import * as stores from './themes/store-themes.ts'
import type { Theme } from './themes/theme.ts'

export const themes = {
  ...leases,
  ...copies,
  ...clearing,
  ...masks,
  ...configuration,
  ...sessions,
  ...stores,
  ...disks,
  ...gateways,
} as const satisfies Record<string, Theme>

export type ThemeName = keyof typeof themes

/** Those of one copy, of several, or all. */
export function themeNames(mirrors?: boolean): ThemeName[] {
  const names = Object.keys(themes) as ThemeName[]
  return names.filter((name) => mirrors === undefined || themes[name].mirrors === mirrors)
}
