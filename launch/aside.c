/* Folders that appear whole: made aside, and renamed. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/workshop.h"
#include "launch/launch.h"

pawl_status pawl_make_aside(const char *dir, pawl_status (*make)(void *self, const char *dir), void *self)
{
    pawl_workshop w;
    PAWL_TRY(pawl_workshop_open(dir, &w));
    pawl_status s = make(self, w.path);
    if (s == PAWL_OK) s = pawl_workshop_publish(&w, dir);
    const pawl_error why = *pawl_last_error();
    pawl_workshop_close(&w);
    if (s != PAWL_OK) pawl_adopt_error(&why);
    return s;
}

pawl_status pawl_folder_named(const char *word, const char *verb, char dir[1024])
{
    size_t n = strlen(word);
    while (n > 1 && word[n - 1] == '/') n--; /* what is made aside lies beside it, not in it */
    PAWL_CHECK(n > 0 && n < 1024, PAWL_EUSAGE, "pawl %s: expected a folder of 1 to %d letters", verb, 1023);
    memcpy(dir, word, n);
    dir[n] = 0;
    return pawl_require_empty(dir, verb);
}

pawl_status pawl_parent_make(const char *dir)
{
    char parent[1024];
    PAWL_CHECK(strlen(dir) < sizeof parent, PAWL_EUSAGE, "path too long: %s", dir);
    memcpy(parent, dir, strlen(dir) + 1);
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent) return PAWL_OK;
    *slash = 0;
    return pawl_dir_make(parent);
}
