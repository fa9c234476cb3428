/* What a configuration leaves to the program: found once, when a run begins, and kept by its checkpoints. */
#include <stdio.h>

#include "launch/launch.h"

/* What the run that made the checkpoint computed with; PAWL_AUTO when that is not known. */
static pawl_status of_checkpoint(const char *path, int64_t *micro)
{
    json_t *was;
    PAWL_TRY(pawl_run_configuration(path, &was));
    *micro = json_integer_value(json_object_get(was, "micro_batch_size")); /* 0 for what is no number */
    json_decref(was);
    return PAWL_OK;
}

static double lesser(double a, double b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

/* The least that any rank has for itself, on each side; 0: not known. Collective. */
static pawl_status least_budget(const pawl_opened *o, pawl_budget *out)
{
    pawl_comm *c = o->parts.comm;
    const pawl_budget mine = pawl_budget_here(&o->parts);
    pawl_budget *all;
    *out = (pawl_budget){0};
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&all, (size_t)c->size * sizeof *all, "the ranks' memory")));
    const pawl_status s = pawl_allgather(c, &mine, sizeof mine, all);
    for (int r = 0; s == PAWL_OK && r < c->size; r++)
        *out = (pawl_budget){.host = lesser(out->host, all[r].host), .device = lesser(out->device, all[r].device)};
    pawl_free(all);
    return s;
}

static pawl_status choose(const pawl_opened *o, const char *checkpoint, const pawl_budget *budget, int64_t *micro)
{
    if (checkpoint && checkpoint[0]) PAWL_TRY(of_checkpoint(checkpoint, micro));
    return *micro == PAWL_AUTO ? pawl_micro_auto(&o->parts, budget, micro) : PAWL_OK;
}

pawl_status pawl_set_micro(pawl_opened *o, int64_t micro)
{
    o->config.train.micro_batch_size = micro;
    json_decref(o->configuration);
    o->configuration = o->parts.configuration = NULL;
    PAWL_TRY(pawl_config_json(&o->config, &o->configuration));
    o->parts.configuration = o->configuration;
    return PAWL_OK;
}

pawl_status pawl_resolve_auto(pawl_comm *c, pawl_opened *o, const char *checkpoint)
{
    int64_t micro = o->config.train.micro_batch_size;
    pawl_budget budget;
    if (micro != PAWL_AUTO) return PAWL_OK;
    PAWL_TRY(least_budget(o, &budget));
    PAWL_TRY(pawl_agree(c, c->rank == 0 ? choose(o, checkpoint, &budget, &micro) : PAWL_OK));
    PAWL_TRY(pawl_bcast(c, &micro, sizeof micro, 0));
    return pawl_agree(c, pawl_set_micro(o, micro));
}
