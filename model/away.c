/* What layers leave for the backward pass, kept in the host's memory (offload_activations). On the device there is room for two layers:
 * they take turns in it. Forward, a layer's numbers go down beside the next one's work; backward they come up beside the work of the layer
 * above. The two uppermost layers stay where they are. */
#include "model/pass.h"

enum { PLACES = PAWL_AWAY_PLACES };

static int is_away(const pass *p, int64_t layer)
{
    return p->learns && p->x->away && layer < p->m->config.num_hidden_layers - PLACES;
}

pawl_status pass_make_room(pass *p, int64_t layer)
{
    const int64_t before = layer - PLACES;
    return before >= 0 && is_away(p, before) ? pawl_carry_await(p->d, p->x->away_ticket[layer % PLACES]) : PAWL_OK;
}

static pawl_status carry(pass *p, int64_t layer, pawl_carry_way way)
{
    pawl_load loads[PAWL_KEPT_MOST];
    const int count = pawl_kept_loads(p->m, p->x, layer, p->N, way, loads);
    return pawl_carry(p->d, way, loads, count, &p->x->away_ticket[layer % PLACES]);
}

pawl_status pass_carry_away(pass *p, int64_t layer)
{
    return is_away(p, layer) ? carry(p, layer, PAWL_CARRY_DOWN) : PAWL_OK;
}

pawl_status pass_bring_near(pass *p, int64_t layer, int64_t lowest)
{
    if (layer > lowest && is_away(p, layer - 1)) PAWL_TRY(carry(p, layer - 1, PAWL_CARRY_UP));
    return is_away(p, layer) ? pawl_carry_await(p->d, p->x->away_ticket[layer % PLACES]) : PAWL_OK;
}
