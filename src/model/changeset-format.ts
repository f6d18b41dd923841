/** The bytes that structure a changeset (sqlite3session.c, "CHANGESET FORMAT"). */

/** Begins the section of a table; of a changeset, and of a patchset, which has no old values. */
export const TABLE = 0x54
export const PATCHSET_TABLE = 0x50

export const INSERT = 18
export const DELETE = 9
export const UPDATE = 23

/** Types of values. Undefined: the change leaves it as it was. */
export const UNDEFINED = 0
export const INTEGER = 1
export const REAL = 2
export const TEXT = 3
export const BLOB = 4
export const NULL = 5
