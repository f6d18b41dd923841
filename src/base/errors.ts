/** What a caller may do about an error: the same request `now`, `later`, `elsewhere`, or `never`. */
export type Retry = 'never' | 'now' | 'later' | 'elsewhere'

interface ErrorEntry {
  /** HTTP status that carries it. */
  readonly status: number
  readonly retry: Retry
  /** What a person should do; the last sentence of every message. */
  readonly hint: string
}

/**
 * Every error that Quorate gives to anyone. Codes are stable. docs/errors.md lists the same codes;
 * a test compares the two.
 */
export const ERRORS = {
  // Outcomes of writes
  UNKNOWN_OUTCOME: {
    status: 504,
    retry: 'never',
    hint: 'It may still happen: look whether it did before you write it anew, or retry with the same session and number.',
  },
  TAKEN_BACK: {
    status: 409,
    retry: 'now',
    hint: 'Nothing of it remains in the data; `quorate lost` shows what was taken back.',
  },
  SESSION_EXPIRED: {
    status: 409,
    retry: 'never',
    hint: 'Nothing was run. Look whether the earlier attempt took effect, then write under a new session.',
  },
  NO_LEADER: {
    status: 503,
    retry: 'later',
    hint: 'Nothing was run. Check with `quorate status` that a majority of the voters is up and connected.',
  },
  NOT_READY: { status: 503, retry: 'later', hint: 'Wait until /ready answers 200.' },
  OVERLOADED: { status: 503, retry: 'later', hint: 'Nothing was run. Send less at once.' },
  DEADLINE: {
    status: 504,
    retry: 'later',
    hint: 'Nothing was changed. Allow more time or send less at once.',
  },
  READ_LEVEL_UNAVAILABLE: {
    status: 503,
    retry: 'later',
    hint: 'Read at a weaker level, or bring the missing replicas back.',
  },
  OTHER_HISTORY: {
    status: 409,
    retry: 'never',
    hint: 'The session token is of another cluster or of work that was taken back; start a new session.',
  },
  LEVEL_UNSUPPORTED: {
    status: 400,
    retry: 'never',
    hint: 'Nothing was run. docs/groups.md has the levels of each strategy.',
  },
  ACK_UNAVAILABLE: {
    status: 503,
    retry: 'later',
    hint: 'Nothing was run. Bring the missing groups back, or write at ack majority.',
  },
  SCHEMA_CHANGE_PENDING: {
    status: 503,
    retry: 'later',
    hint: 'Nothing was run. The schema or a rule is about to change; `quorate groups` shows who is missing.',
  },
  OTHER_GROUP: {
    status: 409,
    retry: 'elsewhere',
    hint: 'Nothing was run. Ask a node of that group, or look whether the earlier attempt took effect and write anew.',
  },
  TRANSACTION_TIMEOUT: {
    status: 408,
    retry: 'now',
    hint: 'It was rolled back. Keep transactions short.',
  },
  NESTED_TRANSACTION: {
    status: 400,
    retry: 'never',
    hint: 'Use the transaction that the function is given; the writer waits for it to end.',
  },
  TRANSACTION_CLOSED: { status: 400, retry: 'never', hint: 'Begin a new transaction.' },

  // Statements
  SQL_ERROR: { status: 400, retry: 'never', hint: 'Correct the statement.' },
  SQL_CONSTRAINT: { status: 400, retry: 'never', hint: 'The row breaks a rule of the schema.' },
  SQL_ARGUMENTS: { status: 400, retry: 'never', hint: 'Give one value for each parameter.' },
  SQL_MANY_STATEMENTS: {
    status: 400,
    retry: 'never',
    hint: 'Send one statement at a time, or use a batch.',
  },
  SQL_NO_STATEMENT: { status: 400, retry: 'never', hint: 'Send a statement.' },
  SQL_REFUSED: { status: 400, retry: 'never', hint: 'See docs/sqlite.md for what is replicated.' },
  IDS_EXHAUSTED: {
    status: 400,
    retry: 'never',
    hint: 'Give ids yourself, or make the key a text: id TEXT PRIMARY KEY DEFAULT (quorate_id()).',
  },
  RESPONSE_TOO_LARGE: {
    status: 413,
    retry: 'never',
    hint: 'Ask for fewer or smaller rows at once, or stream them with a cursor.',
  },
  CURSOR_CLOSED: {
    status: 410,
    retry: 'now',
    hint: 'Run the statement again, and fetch its rows without long pauses.',
  },
  TOO_LARGE: { status: 413, retry: 'never', hint: 'Split it into smaller transactions.' },

  // Files and identity
  NOT_ADOPTABLE: {
    status: 400,
    retry: 'never',
    hint: 'Change what is named above, then start again; `quorate check FILE` tells without starting.',
  },
  FILE_IN_USE: { status: 409, retry: 'later', hint: 'Stop the other process first.' },
  LOG_CORRUPT: {
    status: 500,
    retry: 'never',
    hint: 'Remove this node, delete its file and join again; the others hold the data.',
  },
  FILE_IS_COPY: {
    status: 409,
    retry: 'never',
    hint: 'To join, move the file away and start with an empty one. To found a new cluster with its content, run `quorate detach FILE` first.',
  },
  WRONG_CLUSTER: {
    status: 409,
    retry: 'never',
    hint: 'Use the file or the URL of one and the same cluster.',
  },
  NAME_IN_USE: {
    status: 409,
    retry: 'never',
    hint: 'Choose another --name, or run `quorate members remove NAME` if the old node is gone for good.',
  },

  // Members
  MEMBER_UNKNOWN: { status: 404, retry: 'never', hint: '`quorate status` lists the members.' },
  MEMBER_CHANGE_BUSY: {
    status: 409,
    retry: 'later',
    hint: 'Wait until the change before it has committed.',
  },
  MEMBER_CHANGE_UNSAFE: {
    status: 409,
    retry: 'never',
    hint: 'It would leave no working majority; bring nodes back or add one first.',
  },
  TRANSFER_FAILED: {
    status: 503,
    retry: 'later',
    hint: 'Check that the target is up and caught up.',
  },

  // Groups
  GROUP_UNKNOWN: { status: 404, retry: 'never', hint: '`quorate groups` lists the groups.' },
  NO_GROUPS: {
    status: 400,
    retry: 'never',
    hint: 'Groups, rules and conflicts are of clusters that were founded with --strategy multi-leader or peer, see docs/groups.md.',
  },
  KEEPER_NEEDED: {
    status: 409,
    retry: 'never',
    hint: 'Nothing was changed. Have another group do that first: `quorate groups keeper NAME`.',
  },
  CONFLICT_UNKNOWN: {
    status: 404,
    retry: 'never',
    hint: 'It may have been withdrawn or forgotten; `quorate conflicts` lists those there are.',
  },
  CONFLICT_NOT_REPLAYABLE: {
    status: 409,
    retry: 'never',
    hint: 'Nothing was changed; `quorate conflicts show ID` has what was lost.',
  },
  GROUP_REMOVED: {
    status: 409,
    retry: 'never',
    hint: 'Nothing was run. Join anew under another identity, see docs/groups.md; `quorate lost` has what nobody else got.',
  },
  GROUP_CHANGE_BUSY: {
    status: 409,
    retry: 'later',
    hint: 'Wait until the change before it is known to all groups.',
  },
  TAKEOVER_UNSAFE: {
    status: 409,
    retry: 'never',
    hint: 'Nothing was changed. docs/groups.md says when a group may take over.',
  },
  KEEPER_UNREACHABLE: {
    status: 503,
    retry: 'later',
    hint: 'Nothing was changed. Bring a majority of the nodes of that group back, and the link to it; `quorate groups keeper` if it is gone for good.',
  },
  NOT_MERGEABLE: {
    status: 400,
    retry: 'never',
    hint: 'Nothing was changed; docs/conflicts.md says what a table needs with several groups.',
  },

  // Wire and configuration
  BAD_REQUEST: { status: 400, retry: 'never', hint: 'Correct the request.' },
  BAD_USAGE: { status: 400, retry: 'never', hint: 'See `quorate help`.' },
  BAD_CONFIG: { status: 400, retry: 'never', hint: 'Correct the setting named above.' },
  BAD_RULE: {
    status: 400,
    retry: 'never',
    hint: 'Nothing was changed; docs/conflicts.md lists the rules and what they are for.',
  },
  MERGE_FUNCTION_MISSING: {
    status: 400,
    retry: 'never',
    hint: 'Register it under this name on every node (`quorate serve … --merge-functions FILE`), then try again.',
  },
  STREAM_EXPIRED: {
    status: 400,
    retry: 'never',
    hint: 'Its transaction was rolled back; open a new stream.',
  },
  UNAUTHORIZED: {
    status: 401,
    retry: 'never',
    hint: 'Send the cluster token: --token or QUORATE_TOKEN on the command line, `authorization: Bearer …` over HTTP.',
  },
  AUTH_JWT_MISSING: {
    status: 401,
    retry: 'never',
    hint: 'Send a token: `authorization: Bearer …`, or the authToken option of a libSQL client.',
  },
  AUTH_JWT_INVALID: {
    status: 401,
    retry: 'never',
    hint: 'Send a token that was signed with the private half of authJwtKey.',
  },
  AUTH_JWT_EXPIRED: { status: 401, retry: 'never', hint: 'Get a fresh token.' },
  AUTH_JWT_IMMATURE: {
    status: 401,
    retry: 'later',
    hint: 'Wait until it is valid, and check the clocks of both machines.',
  },
  FORBIDDEN: { status: 403, retry: 'never', hint: 'Use a token that allows it.' },
  NOT_FOUND: { status: 404, retry: 'never', hint: 'Check the name or the path.' },
  PROTOCOL_VERSION: { status: 400, retry: 'never', hint: 'Run the same release on all nodes.' },
  UNREACHABLE: {
    status: 503,
    retry: 'elsewhere',
    hint: 'Check the URL, and that the node is running.',
  },
  OLD_NODE: { status: 500, retry: 'never', hint: 'Install a Node.js release that is new enough.' },
  INTERNAL: {
    status: 500,
    retry: 'never',
    hint: 'This is a bug in Quorate; report it with the log.',
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof ERRORS

/** Facts that travel beside an error's message. */
export interface ErrorFacts {
  /** Position in the log to ask about, with UNKNOWN_OUTCOME. */
  readonly position?: number
  /** Name of the SQLite base code, for example SQLITE_CONSTRAINT, with SQL_* codes. */
  readonly sqlite?: string
  /** URL of the node to turn to. */
  readonly leader?: string
}

/** The one class of error that Quorate throws on purpose. */
export class QuorateError extends Error {
  override readonly name = 'QuorateError'
  readonly code: ErrorCode
  /** The sentence about what happened to what, without the hint. */
  readonly detail: string
  readonly facts: ErrorFacts

  /** @param detail what happened, to what: one sentence that ends with a full stop */
  constructor(code: ErrorCode, detail: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(`${detail} ${ERRORS[code].hint}`, options)
    this.code = code
    this.detail = detail
    this.facts = facts
  }
}

/** An error as it travels between threads and nodes. */
export interface ErrorData {
  readonly code: ErrorCode
  readonly detail: string
  readonly facts?: ErrorFacts
}

/** Turns any thrown thing into what may travel; what is not ours becomes INTERNAL. */
export function toErrorData(error: unknown): ErrorData {
  if (error instanceof QuorateError) {
    return { code: error.code, detail: error.detail, facts: error.facts }
  }
  const text = error instanceof Error ? error.message : String(error)
  return { code: 'INTERNAL', detail: `${text}.` }
}

/** The inverse of toErrorData. */
export function fromErrorData(data: ErrorData): QuorateError {
  return new QuorateError(data.code, data.detail, data.facts ?? {})
}
