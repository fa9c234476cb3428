/* comm/lanes.h - private to comm/: the fixed tree over the lanes of a step.
 *
 * Neighbours are joined level by level and an odd one out passes up; so a node of n lanes has its left child at the
 * largest power of two below n. The tree depends on the number of lanes alone, never on who owns them (decision 2). */
#ifndef PAWL_COMM_LANES_H
#define PAWL_COMM_LANES_H

#include <stdint.h>

typedef struct pawl_node { int first, end; } pawl_node; /* a node is the lanes [first, end) below it */

enum { PAWL_NODES_MAX = 64 }; /* 2 log2(1024) are enough for any run of at most 1024 lanes */

/* Where n divides into its two children; n has at least two lanes. */
int pawl_node_split(pawl_node n);
/* 1 if [first, end) is a node of the tree over `lanes`. */
int pawl_is_node(int lanes, pawl_node n);
/* The largest nodes that lie inside the run [first, end), in order; returns how many. */
int pawl_nodes_inside(int lanes, int first, int end, pawl_node out[PAWL_NODES_MAX]);
/* How many partial sums are alive at once while the run's lanes are added up one after another. */
int pawl_nodes_alive(int lanes, int first, int end);

/* Whether any of n's lanes has a slot in a round of that many slots (zero_stage 2 and 3). */
int pawl_node_computes(int64_t slots, int lanes, int64_t round, pawl_node n);

#endif
