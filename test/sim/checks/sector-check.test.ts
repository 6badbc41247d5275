/** What the checker of a sector takes for explained after a loss, and what not. */
import t from 'tap'
import type { Ending, Entry, Kind, Operation } from '../load/history.ts'
import { SectorCheck } from './sector-check.ts'

const initiator = 'c1/v1'

/** The story in order: `+` begins what its number and kind name, `-` ends it. */
function check(...story: readonly string[]): string | undefined {
  const operations = new Map<number, Operation>()
  const entries = story.map((words, atMs): Entry => {
    const [what, number = '0', rest = ''] = words.split(' ')
    if (what === 'loss') return { what, volume: 1, holds: () => true, atMs }
    if (what === '-') {
      const operation = operations.get(Number(number))!
      const ending: Ending = 'good'
      return { what: 'end', operation, ending, atMs, ...(rest && { seen: [Number(rest)] }) }
    }
    const operation = begun(Number(number), rest as Kind)
    operations.set(operation.number, operation)
    return { what: 'begin', operation, atMs }
  })
  const endings = new Map<Operation, Entry>()
  for (const entry of entries) if (entry.what === 'end') endings.set(entry.operation, entry)
  const sector = new SectorCheck(0, [initiator], endings)
  for (const entry of entries) {
    const verdict = sector.take(entry)
    if (verdict !== undefined) return verdict.why
  }
  return undefined
}

function begun(number: number, kind: Kind): Operation {
  const where = { client: 'c1', volume: 1, lba: 0, blocks: 1, forced: false }
  return { number, kind, initiator, ...where }
}

const written = ['+ 1 write', '- 1', '+ 2 flush', '- 2', '+ 3 write', '- 3']
const oldIsSeen = ['+ 9 read', '- 9 1']

t.test('what no flush covered may be gone', async (t) => {
  t.equal(check(...written, 'loss', ...oldIsSeen), undefined)
  t.match(check(...written, ...oldIsSeen), /a read saw 1/, 'but only by a loss')
  t.match(check(...written, 'loss', '+ 9 read', '- 9 0'), /a read saw 0/, 'what it covered stays')
})

t.test('a flush that was sent after the answer speaks for the write', async (t) => {
  t.match(check(...written, '+ 4 flush', '- 4', 'loss', ...oldIsSeen), /a read saw 1/)
  t.match(check(...written, '+ 4 flush', 'loss', '- 4', ...oldIsSeen), /a read saw 1/)
  t.match(check(...written, 'loss', '+ 4 flush', '- 4', ...oldIsSeen), /a read saw 1/)
  t.match(
    check(...written, 'loss', ...oldIsSeen, '+ 4 flush', '- 4'),
    /lost an acknowledged write and its next flush was answered GOOD/,
  )
})

t.test('one that was sent before says nothing of it', async (t) => {
  const during = ['+ 1 write', '- 1', '+ 2 flush', '- 2', '+ 4 flush', '+ 3 write', '- 3']
  t.equal(check(...during, 'loss', '- 4', ...oldIsSeen), undefined)
  t.match(
    check(...during, 'loss', '- 4', ...oldIsSeen, '+ 5 flush', '- 5'),
    /lost an acknowledged write and its next flush was answered GOOD/,
    'the next one has to tell',
  )
})
