/* data/tokenizer/place.h - where in tokenizer.json a reader stands, and members of it, checked. */
#ifndef PAWL_DATA_TOKENIZER_PLACE_H
#define PAWL_DATA_TOKENIZER_PLACE_H

#include "core/json.h"

typedef struct pawl_place {
    const char *file;
    char path[160]; /* "pre_tokenizer.pretokenizers[1].pattern" */
} pawl_place;

pawl_place pawl_place_in(const pawl_place *p, const char *key);
pawl_place pawl_place_at(const pawl_place *p, size_t index);

/* "FILE: PATH: sentence" */
#define PAWL_REFUSE(place, format, ...)                                                                                \
    PAWL_FAIL(PAWL_EDATA, "%s: %s: " format, (place)->file, (place)->path, ##__VA_ARGS__)
#define PAWL_REQUIRE(condition, place, format, ...)                                                                    \
    do {                                                                                                               \
        if (!(condition)) return PAWL_REFUSE(place, format, ##__VA_ARGS__);                                            \
    } while (0)

/* A text member; NULL where it is missing or null, which only is right when it is not required. */
PAWL_MUST pawl_status pawl_member_text(const json_t *object, const char *key, const pawl_place *p, int required,
                                       const char **out);
/* true or false; dflt where it is missing or null, -1: required. */
PAWL_MUST pawl_status pawl_member_flag(const json_t *object, const char *key, const pawl_place *p, int dflt, int *out);
PAWL_MUST pawl_status pawl_member_count(const json_t *object, const char *key, const pawl_place *p, int64_t most,
                                        int64_t *out);
PAWL_MUST pawl_status pawl_member_array(const json_t *object, const char *key, const pawl_place *p, const json_t **out);
/* One of names (a NULL ends them); the index; dflt where it is missing or null, -1: required. */
PAWL_MUST pawl_status pawl_member_choice(const json_t *object, const char *key, const pawl_place *p,
                                         const char *const *names, int dflt, int *out);

#endif
