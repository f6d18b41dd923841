/**
 * Set to 1 by whoever starts nodes as its children (demo, benchmark, tests): the node ends when its
 * stdin does, so that no node outlives a parent that was killed and could not end it.
 */
export const EXIT_WITH_STDIN = 'QUORATE_EXIT_WITH_STDIN'
