#include "comm/lanes.h"

#include "comm/comm.h"

void pawl_lanes_of(int lanes, int rank, int size, int *first, int *end)
{
    *first = (int)((int64_t)lanes * rank / size);
    *end = (int)((int64_t)lanes * (rank + 1) / size);
}

int pawl_node_split(pawl_node n)
{
    int left = 1;
    while (2 * left < n.end - n.first) left *= 2;
    return n.first + left;
}

int pawl_is_node(int lanes, pawl_node n)
{
    pawl_node at = {0, lanes};
    while (at.first != n.first || at.end != n.end) {
        if (at.end - at.first < 2) return 0;
        const int split = pawl_node_split(at);
        if (n.end <= split) at.end = split;
        else if (n.first >= split) at.first = split;
        else return 0;
    }
    return 1;
}

static int collect(pawl_node at, int first, int end, pawl_node *out)
{
    if (at.end <= first || end <= at.first) return 0;
    if (first <= at.first && at.end <= end) {
        *out = at;
        return 1;
    }
    const int split = pawl_node_split(at);
    const int n = collect((pawl_node){at.first, split}, first, end, out);
    return n + collect((pawl_node){split, at.end}, first, end, out + n);
}

int pawl_nodes_inside(int lanes, int first, int end, pawl_node out[PAWL_NODES_MAX])
{
    return collect((pawl_node){0, lanes}, first, end, out);
}

int pawl_nodes_alive(int lanes, int first, int end)
{
    int alive = 0;
    for (int lane = first; lane < end; lane++) { /* before a lane's own sums, what is done lies in its largest nodes */
        pawl_node done[PAWL_NODES_MAX];
        const int n = pawl_nodes_inside(lanes, first, lane, done) + 1;
        if (n > alive) alive = n;
    }
    return alive;
}

void pawl_slots_of_lane(int64_t slots, int lanes, int lane, int64_t *first, int64_t *end)
{
    *first = slots * lane / lanes;
    *end = slots * (lane + 1) / lanes;
}

int64_t pawl_rounds_of(int64_t slots, int lanes)
{
    return (slots + lanes - 1) / lanes;
}

int pawl_node_computes(int64_t slots, int lanes, int64_t round, pawl_node n)
{
    for (int lane = n.first; lane < n.end; lane++) {
        int64_t first, end;
        pawl_slots_of_lane(slots, lanes, lane, &first, &end);
        if (end - first > round) return 1;
    }
    return 0;
}

static int64_t computing(int64_t slots, int lanes, int64_t round)
{
    int64_t n = 0;
    for (int lane = 0; lane < lanes; lane++) n += pawl_node_computes(slots, lanes, round, (pawl_node){lane, lane + 1});
    return n;
}

int64_t pawl_turns_of(int64_t slots, int lanes, int size, int64_t round)
{
    return (computing(slots, lanes, round) + size - 1) / size;
}

int pawl_turn_lane(int64_t slots, int lanes, int size, int64_t round, int64_t turn, int rank)
{
    int64_t left = turn * size + rank;
    for (int lane = 0; lane < lanes; lane++)
        if (pawl_node_computes(slots, lanes, round, (pawl_node){lane, lane + 1}) && left-- == 0) return lane;
    return -1;
}
