/**
 * The schedules that aim at guards of copies, marks and masks, each with one seed: nothing is wrong
 * in the program as it is, and it came to the point where the guard matters. Without the second a
 * schedule could miss its guard for good, and nobody would notice.
 */
import t from 'tap'
import { simulate } from '../simulation.ts'
import type { ThemeName } from '../themes.ts'

interface Point {
  readonly theme: ThemeName
  readonly what: string
  /** Said in this order. */
  readonly said: readonly RegExp[]
}

const promoted = /replicas=\["s2.*s1 \(behind\)/
const partial = /bringing a replica up to date.*how="partial"/
const full = /bringing a replica up to date.*how="full"/
/** In whatever order they start. */
const lost = /s[12]: page store opened.*MayBeLost=true/
const bothLost = [lost, lost]

const points: readonly Point[] = [
  {
    theme: 'seenTooEarly',
    what: 'a read waits for a write that is on the primary alone, and sees what was there before',
    said: [/read 3761\+1/, /s1: killed/, promoted, /c2\/v1b: \d+ read 1$/],
  },
  {
    theme: 'answeredTooEarly',
    what: 'a write that never reached the other copy is sent again to that one',
    said: [/held: s1 > s2/, /s1: killed/, promoted, /c1\/v1b: 3 good/],
  },
  {
    theme: 'flushedOnOne',
    what: 'what was flushed is there when the copy that is left has lost the rest',
    said: [/c1\/v1b: 11 good/, promoted, /s2: power lost/, /may be gone/, /s2: page store opened/],
  },
  {
    theme: 'newStore',
    what: 'a primary that lost something between close and activate hands over',
    said: [/s1: page store opened.*MayBeLost=true/, /change="fence"/, promoted],
  },
  {
    theme: 'givenUp',
    what: 'what a close gave up on is compared before it is served',
    said: [/change="fence"/, /replicas compared regions=1/],
  },
  {
    theme: 'firstWrites',
    what: 'a write whose mark is not on the disk has touched nothing',
    said: [/held: s1 > s2/, /c1: killed/, /s1: killed/],
  },
  {
    theme: 'takenBack',
    what: 'marks are gone when all lose their power, and so is nothing that they stood for',
    said: [...bothLost, /replicas compared regions=1/],
  },
  {
    theme: 'writtenMeanwhile',
    what: 'a region that was written while all was flushed stays marked',
    said: [...bothLost, /replicas compared regions=[1-6]/],
  },
  {
    theme: 'overtaken',
    what: 'a copy is promoted whose marks were taken back before the last writes',
    said: [
      /s1: killed/,
      /replicas=\["s[23]", "s[23]", "s1 \(behind\)"|replicas=\["s[23], s[23], s1/,
    ],
  },
  {
    theme: 'keeperAway',
    what: 'who was away knows from others what a third copy lacks',
    said: [promoted, partial, /replicas=\["s1.*behind/, partial],
  },
  {
    theme: 'olderStore',
    what: 'a store from before the generation changed is compared as a whole',
    said: [partial, full],
  },
  {
    theme: 'oldStore',
    what: 'a store that only its content gives away is found by the sample',
    said: [partial, /replica differs outside the masks/],
  },
  {
    theme: 'unsent',
    what: 'a write that one copy has, and nobody sends again, is brought to the other',
    said: [/c1: killed/, /replicas=\["s1, s2 \(behind\)/, partial],
  },
  {
    theme: 'notSetAgain',
    what: 'a copy that missed a write while it was up to date is brought up once more',
    said: [partial, partial],
  },
  {
    theme: 'primaryKnew',
    what: 'what a copy lacks is known when the primary is gone',
    said: [
      /replicas=\["s1, s2, s3 \(behind\)|replicas=\["s1, s3, s2 \(behind\)/,
      /s1: killed/,
      partial,
    ],
  },
]

t.setTimeout(900_000)

for (const { theme, what, said } of points) {
  await t.test(`${theme}: ${what}`, async (t) => {
    const lines: string[] = []
    const { violations } = await simulate({ seed: 1, theme, print: (line) => lines.push(line) })
    t.same(violations, [])
    let from = 0
    for (const each of said) {
      const at = lines.findIndex((line, index) => index >= from && each.test(line))
      t.ok(at >= 0, `comes to ${each}`)
      from = at + 1
    }
  })
}
