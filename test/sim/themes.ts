/**
 * Schedules that aim at one guard each: few machines, blocks that everybody wants, and the one order
 * of events in which the guard matters, with every time drawn anew. A seed has either one of these or
 * the general mix of faults.
 */
import { clearingThemes } from './themes/clearing-themes.ts'
import { configurationThemes } from './themes/configuration-themes.ts'
import { copyThemes } from './themes/copy-themes.ts'
import { diskThemes } from './themes/disk-themes.ts'
import { gatewayThemes } from './themes/gateway-themes.ts'
import { leaseThemes } from './themes/lease-themes.ts'
import { maskThemes } from './themes/mask-themes.ts'
import { sessionThemes } from './themes/session-themes.ts'
import { storeThemes } from './themes/store-themes.ts'
import type { Theme } from './themes/theme.ts'

export const themes = {
  ...leaseThemes,
  ...copyThemes,
  ...clearingThemes,
  ...maskThemes,
  ...configurationThemes,
  ...sessionThemes,
  ...storeThemes,
  ...diskThemes,
  ...gatewayThemes,
} as const satisfies Record<string, Theme>

export type ThemeName = keyof typeof themes

/** Those of one copy, of several, or all. */
export function themeNames(mirrors?: boolean): ThemeName[] {
  const names = Object.keys(themes) as ThemeName[]
  return names.filter((name) => mirrors === undefined || themes[name].mirrors === mirrors)
}
