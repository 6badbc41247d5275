import t from 'tap'
import { demonstrate } from './demo.ts'

t.test('the demonstration', async (t) => {
  const lines: string[] = []
  const result = await demonstrate((line) => {
    lines.push(line)
    t.comment(line)
  })
  t.ok(result.seconds < 120, `took ${result.seconds.toFixed(1)} s`)
  t.ok(result.writes > 100, `${result.writes} writes`)
  t.ok(lines.some((line) => line.includes('Nothing was lost')))
})
