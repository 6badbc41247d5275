/** Outcomes of a login: class in the high byte, detail in the low one. RFC 7143 11.13.5. */
export const LoginStatus = {
  SUCCESS: 0x0000,
  TARGET_MOVED_TEMPORARILY: 0x0101,
  TARGET_MOVED_PERMANENTLY: 0x0102,
  INITIATOR_ERROR: 0x0200,
  AUTHENTICATION_FAILURE: 0x0201,
  AUTHORIZATION_FAILURE: 0x0202,
  NOT_FOUND: 0x0203,
  TARGET_REMOVED: 0x0204,
  UNSUPPORTED_VERSION: 0x0205,
  TOO_MANY_CONNECTIONS: 0x0206,
  MISSING_PARAMETER: 0x0207,
  CANNOT_INCLUDE_IN_SESSION: 0x0208,
  SESSION_TYPE_NOT_SUPPORTED: 0x0209,
  SESSION_DOES_NOT_EXIST: 0x020a,
  INVALID_DURING_LOGIN: 0x020b,
  TARGET_ERROR: 0x0300,
  SERVICE_UNAVAILABLE: 0x0301,
  OUT_OF_RESOURCES: 0x0302,
} as const
export type LoginStatus = (typeof LoginStatus)[keyof typeof LoginStatus]

const names = new Map<number, string>(
  Object.entries(LoginStatus).map(([name, status]) => [status, name]),
)

/** For logs and errors: the standard's name with the number. */
export function describeLoginStatus(status: number): string {
  const name = names.get(status)?.toLowerCase().replaceAll('_', ' ') ?? 'unknown status'
  return `${name} (${status.toString(16).padStart(4, '0')}h)`
}
