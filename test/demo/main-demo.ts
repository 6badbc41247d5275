/** `make demo`. */
import { demonstrate } from './demo.ts'

const { seconds } = await demonstrate((line) => process.stdout.write(`${line}\n`))
process.stdout.write(`\nDone in ${seconds.toFixed(1)} s.\n`)
