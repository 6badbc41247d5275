import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import t from 'tap'
import {
  applyConfigFile,
  collect,
  parseCount,
  parseSeconds,
  requireOption,
} from '../../../src/cli/config-file.ts'

const directory = mkdtempSync(join(tmpdir(), 'palisade-config-'))
t.teardown(() => rmSync(directory, { recursive: true }))

/** The options that a command ends up with, given a file and flags. */
async function options(toml: string, flags: readonly string[]): Promise<Record<string, unknown>> {
  const file = join(directory, 'config.toml')
  writeFileSync(file, toml)
  const command = new Command('target')
    .exitOverride()
    .option('--name <NAME>')
    .option('--portal <LISTEN>', 'repeatable', collect, [])
    .option('--hold <SECS>', 'seconds', '60')
    .option('--json')
    .option('--config <FILE>')
    .action(() => applyConfigFile(command))
  await command.parseAsync(['--config', file, ...flags], { from: 'user' })
  const { config: _, ...rest } = command.opts()
  return rest
}

t.test('a file gives what the flags leave open', async (t) => {
  const toml = 'name = "a"\nportal = ["10.0.0.1:1", "10.0.1.1:1"]\nhold = 5\njson = true\n'
  t.same(await options(toml, []), {
    name: 'a',
    portal: ['10.0.0.1:1', '10.0.1.1:1'],
    hold: '5',
    json: true,
  })
  t.same(await options('portal = "10.0.0.1:1"', []), { portal: ['10.0.0.1:1'], hold: '60' })
})

t.test('flags win over the file, also repeated ones', async (t) => {
  const toml = 'name = "a"\nportal = ["10.0.0.1:1"]\nhold = 5\n'
  t.same(await options(toml, ['--name', 'b', '--portal', 'x:1', '--hold', '60']), {
    name: 'b',
    portal: ['x:1'],
    hold: '60',
  })
})

t.test('what the file may not say', async (t) => {
  const rows: [string, RegExp][] = [
    ['nmae = "a"', /unknown key "nmae"; known: name, portal, hold, json/],
    ['config = "b"', /unknown key "config"/],
    ['name = ["a", "b"]', /name: one value/],
    ['name = true', /name: a string or a number/],
    ['json = "yes"', /json: true or false/],
    ['[target]\nname = "a"', /unknown key "target"/],
    ['name = ', /--config .*config.toml/],
  ]
  for (const [toml, message] of rows) {
    await t.rejects(options(toml, []), { code: 'invalid', message }, toml)
  }
})

t.test('values', async (t) => {
  t.equal(parseSeconds('2.5', '--hold'), 2500)
  t.equal(parseSeconds('0', '--hold'), 0)
  for (const text of ['', '-1', 'x', '86401', '1e2']) {
    t.throws(() => parseSeconds(text, '--hold'), { message: /^--hold: .* seconds, 0 to 86400/ })
  }
  t.equal(parseCount('3', '--servers', [1, 64]), 3)
  for (const text of ['0', '65', '1.5', '-1', '']) {
    t.throws(() => parseCount(text, '--servers', [1, 64]), { message: /^--servers: .* 1 to 64/ })
  }
  t.equal(requireOption('x', '--name'), 'x')
  t.throws(() => requireOption(undefined, '--name'), { message: /--name is missing/ })
  t.throws(() => requireOption([], '--portal'), { message: /--portal is missing/ })
})
