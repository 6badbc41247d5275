/**
 * How one text key is negotiated: the kinds of rows that `keys.ts` is made of, and the two sides of
 * every negotiation as functions on data. RFC 7143 6.2. Which keys there are is not known here.
 */

interface KeyRules {
  readonly name: string
  /** Of RFC 7143, or of our own design. */
  readonly section: string
  readonly scope: 'connection' | 'session'
  /** leading: first connection's login; login: any login; always: full-feature phase too. */
  readonly when: 'leading' | 'login' | 'always' | 'full-feature'
  /** In which login stage it may come. RFC 7143 6.3, 13. */
  readonly stage: 'security' | 'operational' | 'both'
  readonly sender: 'initiator' | 'target' | 'both'
  /** False: Irrelevant in a discovery session. */
  readonly discovery: boolean
}

export interface NumberKey extends KeyRules {
  readonly type: 'number'
  readonly min: number
  readonly max: number
  readonly default: number
  readonly result: 'min' | 'max' | 'declare'
}

export interface BooleanKey extends KeyRules {
  readonly type: 'boolean'
  readonly default: boolean
  readonly result: 'and' | 'or'
}

export interface ListKey extends KeyRules {
  readonly type: 'list'
  readonly default: string
  readonly result: 'first-common'
}

export interface TextKey extends KeyRules {
  readonly type: 'text'
  readonly values?: readonly string[]
  readonly maxBytes: number
  readonly result: 'declare'
}

/** A key of a former standard, whose answer is fixed. RFC 7143 13.25. */
export interface ObsoleteKey extends KeyRules {
  readonly type: 'obsolete'
  readonly answer: 'No' | 'Reject'
}

export type KeyRow = NumberKey | BooleanKey | ListKey | TextKey | ObsoleteKey

/** What our side wants of a list key. */
export interface ListChoice {
  readonly values: readonly string[]
  /** Whose order counts among common values: a responder normally follows the offer. */
  readonly order: 'theirs' | 'ours'
}

export type KeyValue = number | boolean | string

/** Our side of a key: absent is the row's default. */
export type OwnValue = number | boolean | ListChoice

/** `answer` absent: a declaration wants none. `value` absent: the value stays what it was. */
export interface Negotiated {
  readonly answer?: string
  readonly value?: KeyValue
}

export const Answer = {
  NOT_UNDERSTOOD: 'NotUnderstood',
  IRRELEVANT: 'Irrelevant',
  REJECT: 'Reject',
} as const

const reserved: ReadonlySet<string> = new Set(Object.values(Answer))

/** A decimal or hexadecimal constant of at most 53 bits. RFC 7143 6.1. */
export function parseNumber(text: string): number | undefined {
  if (!/^(0|[1-9][0-9]{0,15}|0[xX][0-9a-fA-F]{1,16})$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

function parseBoolean(text: string): boolean | undefined {
  if (text === 'Yes') return true
  return text === 'No' ? false : undefined
}

function parseNumberOf(row: NumberKey, text: string): number | undefined {
  const value = parseNumber(text)
  return value !== undefined && value >= row.min && value <= row.max ? value : undefined
}

function parseTextOf(row: TextKey, text: string): string | undefined {
  if (Buffer.byteLength(text) > row.maxBytes) return undefined
  return row.values === undefined || row.values.includes(text) ? text : undefined
}

export function formatValue(value: KeyValue): string {
  if (typeof value === 'boolean') return value ? 'Yes' : 'No'
  return String(value)
}

function combineNumbers(row: NumberKey, theirs: number, ours: number): Negotiated {
  if (row.result === 'declare') return { value: theirs }
  const value = row.result === 'min' ? Math.min(theirs, ours) : Math.max(theirs, ours)
  return { answer: formatValue(value), value }
}

function chooseFromList(offer: string, choice: ListChoice): Negotiated {
  const theirs = offer.split(',')
  const [first, second] =
    choice.order === 'ours' ? [choice.values, theirs] : [theirs, choice.values]
  const value = first.find((candidate) => second.includes(candidate))
  return value === undefined ? { answer: Answer.REJECT } : { answer: value, value }
}

/** The responder's side: what to answer to an offer, and what holds afterwards. */
export function negotiate(row: KeyRow, offer: string, own?: OwnValue): Negotiated {
  // These words are answers, never offers; an answer to them could go back and forth for ever.
  if (reserved.has(offer)) return {}
  switch (row.type) {
    case 'number': {
      const theirs = parseNumberOf(row, offer)
      if (theirs === undefined) return { answer: Answer.REJECT }
      return combineNumbers(row, theirs, typeof own === 'number' ? own : row.default)
    }
    case 'boolean': {
      const theirs = parseBoolean(offer)
      if (theirs === undefined) return { answer: Answer.REJECT }
      const ours = typeof own === 'boolean' ? own : row.default
      const value = row.result === 'and' ? theirs && ours : theirs || ours
      return { answer: formatValue(value), value }
    }
    case 'list':
      return chooseFromList(
        offer,
        typeof own === 'object' ? own : { values: [row.default], order: 'theirs' },
      )
    case 'text': {
      const value = parseTextOf(row, offer)
      return value === undefined ? { answer: Answer.REJECT } : { value }
    }
    case 'obsolete':
      return { answer: row.answer }
  }
}

/** How a negotiation that we began ended; a string says why the answer is not acceptable. */
export type Settled = { readonly value: KeyValue } | { readonly fault: string }

/** The value that an originator's offer comes to without an answer; booleans only. RFC 7143 6.2.2. */
function unanswered(row: KeyRow, offer: string): Settled {
  const decided = row.type === 'boolean' && parseBoolean(offer) === (row.result === 'or')
  return decided ? { value: row.result === 'or' } : { fault: `${row.name} was not answered` }
}

function settleNumber(row: NumberKey, offer: string, answer: string): number | undefined {
  const value = parseNumberOf(row, answer)
  const offered = parseNumber(offer)
  if (value === undefined || offered === undefined) return undefined
  return (row.result === 'min' ? value <= offered : value >= offered) ? value : undefined
}

function settleBoolean(row: BooleanKey, offer: string, answer: string): boolean | undefined {
  const value = parseBoolean(answer)
  const dominant = row.result === 'or'
  if (parseBoolean(offer) === dominant && value !== dominant) return undefined
  return value
}

/** The originator's side: judges the answer to our own `offer` of a negotiated key. */
export function settle(row: KeyRow, offer: string, answer: string | undefined): Settled {
  if (answer === undefined) return unanswered(row, offer)
  const passedOver = answer === Answer.NOT_UNDERSTOOD || answer === Answer.IRRELEVANT
  if (passedOver && 'default' in row) return { value: row.default }
  let value: KeyValue | undefined
  if (row.type === 'number') value = settleNumber(row, offer, answer)
  if (row.type === 'boolean') value = settleBoolean(row, offer, answer)
  if (row.type === 'list') value = offer.split(',').find((candidate) => candidate === answer)
  return value === undefined ? { fault: `${row.name} was answered beyond the offer` } : { value }
}
