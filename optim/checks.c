/* What must hold between the keys of an optimizer. */
#include <stdio.h>
#include <string.h>

#include "optim/optim.h"

#define SAY(...) snprintf(why, room, __VA_ARGS__)

static int is(const char *const *names, int32_t chosen, const char *name)
{
    return strcmp(names[chosen], name) == 0;
}

static const pawl_field *row_of(const char *key)
{
    const pawl_field *row = pawl_optim_rows;
    while (strcmp(row->key, key) != 0) row++;
    return row;
}

static int has_default(const pawl_optim_config *c, const char *key)
{
    pawl_optim_config plain;
    char now[64], then[64];
    pawl_fields_default(pawl_optim_rows, &plain);
    pawl_field_get(row_of(key), c, now, sizeof now);
    pawl_field_get(row_of(key), &plain, then, sizeof then);
    return strcmp(now, then) == 0;
}

/* Keys that only some optimizers or schedules read. */
static const struct {
    const char *key, *chooser, *readers[4];
} owned[] = {
    {"adam_beta1", "optimizer", {"adamw", "adamw_8bit", "lion", "muon"}},
    {"adam_beta2", "optimizer", {"adamw", "adamw_8bit", "lion", "muon"}},
    {"adam_epsilon", "optimizer", {"adamw", "adamw_8bit", "muon"}},
    {"sgd_momentum", "optimizer", {"sgd"}},
    {"sgd_dampening", "optimizer", {"sgd"}},
    {"sgd_nesterov", "optimizer", {"sgd"}},
    {"muon_momentum", "optimizer", {"muon"}},
    {"muon_nesterov", "optimizer", {"muon"}},
    {"muon_ns_steps", "optimizer", {"muon"}},
    {"muon_adjust_lr_fn", "optimizer", {"muon"}},
    {"muon_adamw_lr", "optimizer", {"muon"}},
    {"moments_dtype", "optimizer", {"adamw", "sgd", "lion", "muon"}},
    {"lr_num_cycles", "lr_scheduler", {"cosine_with_restarts"}},
    {"lr_power", "lr_scheduler", {"polynomial"}},
    {"lr_timescale", "lr_scheduler", {"inverse_sqrt"}},
    {"lr_decay_steps", "lr_scheduler", {"warmup_stable_decay", "infinite"}},
    {"lr_decay_ratio", "lr_scheduler", {"warmup_stable_decay", "infinite"}},
    {"lr_constant_ratio", "lr_scheduler", {"infinite"}},
    {"lr_cooldown_ratio", "lr_scheduler", {"infinite"}},
    {"lr_decay_type", "lr_scheduler", {"warmup_stable_decay"}},
};

/* Of the keys of a row the first: one that nothing reads would silently do nothing. */
static void unread(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    size_t i = 0;
    char chosen[64];
    while (strcmp(owned[i].key, key) != 0) i++;
    pawl_field_get(row_of(owned[i].chooser), c, chosen, sizeof chosen);
    for (int k = 0; k < 4 && owned[i].readers[k]; k++)
        if (strcmp(owned[i].readers[k], chosen) == 0) return;
    if (!has_default(c, key)) SAY("%s: with %s: %s it would do nothing: leave it out", key, owned[i].chooser, chosen);
}

static void one_warmup(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    (void)key;
    if (c->warmup_steps > 0 && c->warmup_ratio > 0)
        SAY("expected warmup_steps or warmup_ratio, found both: leave one of them out");
}

static void a_warmup(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    (void)key;
    if (is(pawl_schedule_names, c->lr_scheduler, "constant_with_warmup") && c->warmup_steps == 0 &&
        c->warmup_ratio == 0)
        SAY("lr_scheduler: constant_with_warmup needs warmup_steps or warmup_ratio; without a warm-up it is constant");
}

static void one_decay(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    (void)key;
    if (c->lr_decay_steps > 0 && c->lr_decay_ratio > 0)
        SAY("expected lr_decay_steps or lr_decay_ratio, found both: leave one of them out");
    else if (is(pawl_schedule_names, c->lr_scheduler, "warmup_stable_decay") && c->lr_decay_steps == 0 &&
             c->lr_decay_ratio == 0)
        SAY("lr_scheduler: warmup_stable_decay needs lr_decay_steps or lr_decay_ratio, which say how long the end "
            "comes down");
}

static void nesterov_has_momentum(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    (void)key;
    if (c->sgd_nesterov && (c->sgd_momentum == 0 || c->sgd_dampening > 0))
        SAY("sgd_nesterov: expected sgd_momentum above 0 and no sgd_dampening");
    else if (c->sgd_dampening > 0 && c->sgd_momentum == 0)
        SAY("sgd_dampening: without sgd_momentum it would do nothing: leave it out");
}

static void one_embedding_rate(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    (void)key;
    if (c->embedding_lr > 0 && c->embedding_lr_scale > 0)
        SAY("expected embedding_lr or embedding_lr_scale, found both: leave one of them out");
}

static void rate_to_follow(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    (void)key;
    if ((c->embedding_lr > 0 || c->muon_adamw_lr > 0) && c->learning_rate == 0)
        SAY("%s follows the schedule of learning_rate: expected that to be above 0, found 0",
            c->embedding_lr > 0 ? "embedding_lr" : "muon_adamw_lr");
}

static void an_average(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    (void)key;
    if (c->ema_decay == 0 && (c->ema_warmup || c->ema_every != 1))
        SAY("%s: without ema_decay it would do nothing: leave it out", c->ema_warmup ? "ema_warmup" : "ema_every");
}

static void moments_are_kept(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    if (is(pawl_optimizer_names, c->optimizer, "sgd") && c->sgd_momentum == 0 && c->moments_dtype)
        SAY("moments_dtype: sgd without sgd_momentum keeps nothing: leave it out");
    else
        unread(c, key, why, room);
}

static void average_of_masters(const pawl_optim_config *c, const char *key, char *why, size_t room)
{
    (void)key;
    if (!c->master_weights && c->ema_decay > 0)
        SAY("ema_decay: expected 0 with master_weights: false, found %g: an average of weights is as large as the master weights", c->ema_decay);
}

/* clang-format off */
#define UNREAD(key, chooser) {{key, chooser}, unread, NULL}
const pawl_optim_check pawl_optim_checks[] = {
    {{"warmup_ratio", "warmup_steps"}, one_warmup, "`warmup_steps` and `warmup_ratio` are not both given"},
    {{"lr_scheduler", "warmup_steps", "warmup_ratio"}, a_warmup, "with `lr_scheduler: constant_with_warmup`, one of them is"},
    {{"lr_decay_ratio", "lr_decay_steps", "lr_scheduler"}, one_decay,
     "with `lr_scheduler: warmup_stable_decay`, exactly one of `lr_decay_steps` and `lr_decay_ratio` is given"},
    {{"sgd_nesterov", "sgd_dampening", "sgd_momentum"}, nesterov_has_momentum,
     "`sgd_nesterov` and `sgd_dampening` need `sgd_momentum`, and exclude each other"},
    {{"embedding_lr_scale", "embedding_lr"}, one_embedding_rate, "`embedding_lr` and `embedding_lr_scale` are not both given"},
    {{"learning_rate", "embedding_lr", "muon_adamw_lr"}, rate_to_follow,
     "with `embedding_lr` or `muon_adamw_lr`, `learning_rate` is above 0"},
    {{"ema_warmup", "ema_every", "ema_decay"}, an_average, "without `ema_decay`, no key of an average of weights is given"},
    {{"optimizer"}, NULL, "keys of one `optimizer` or `lr_scheduler` are not given with another"},
    UNREAD("adam_beta1", "optimizer"),
    UNREAD("adam_beta2", "optimizer"),
    UNREAD("adam_epsilon", "optimizer"),
    UNREAD("sgd_momentum", "optimizer"),
    UNREAD("sgd_dampening", "optimizer"),
    UNREAD("sgd_nesterov", "optimizer"),
    UNREAD("muon_momentum", "optimizer"),
    UNREAD("muon_nesterov", "optimizer"),
    UNREAD("muon_ns_steps", "optimizer"),
    UNREAD("muon_adjust_lr_fn", "optimizer"),
    UNREAD("muon_adamw_lr", "optimizer"),
    {{"moments_dtype", "optimizer", "sgd_momentum"}, moments_are_kept, NULL},
    {{"ema_decay", "master_weights"}, average_of_masters, "`master_weights: false` and `ema_decay` exclude each other"},
    UNREAD("lr_num_cycles", "lr_scheduler"),
    UNREAD("lr_power", "lr_scheduler"),
    UNREAD("lr_timescale", "lr_scheduler"),
    UNREAD("lr_decay_steps", "lr_scheduler"),
    UNREAD("lr_decay_ratio", "lr_scheduler"),
    UNREAD("lr_decay_type", "lr_scheduler"),
    {{NULL}, NULL, NULL}};
/* clang-format on */
