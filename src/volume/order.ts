/**
 * The order of a manager's messages about one volume: the manager's term, then a number that grows
 * within it. A storage server keeps the highest and refuses what is not higher, so that a message
 * that was delayed or repeated undoes nothing that came after it.
 */
export interface Order {
  readonly term: number
  readonly number: number
}

/** Below every order that is ever sent. */
export const noOrder: Order = { term: 0, number: 0 }

export function isHigher(order: Order, than: Order): boolean {
  return order.term === than.term ? order.number > than.number : order.term > than.term
}

export function sameOrder(left: Order | undefined, right: Order | undefined): boolean {
  return left?.term === right?.term && left?.number === right?.number
}

export function orderText(order: Order): string {
  return `${order.term}.${order.number}`
}
