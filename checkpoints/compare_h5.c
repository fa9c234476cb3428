#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoints/h5.h"
#include "checkpoints/layout.h"
#include "checkpoints/verify.h"
#include "core/arena.h"
#include "core/file.h"

typedef struct opened { /* an HDF5 file, through our own functions */
    pawl_h5_file on;
    hid_t access, file;
    char path[PATH_MAX];
} opened;

typedef struct comparison {
    const pawl_checkpoint *k;
    int fd; /* findings go here */
    opened own, other;
    char other_name[PAWL_FILE_NAME_MAX];
} comparison;

static void find(const comparison *c, const char *path, const char *format, ...) PAWL_PRINTF(3, 4);
static void find(const comparison *c, const char *path, const char *format, ...)
{
    char line[2048];
    va_list args;
    int n = snprintf(line, sizeof line / 2, "%s: ", path);
    if (n > (int)sizeof line / 2 - 1) n = (int)sizeof line / 2 - 1;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    for (char *p = line; *p; p++)
        if (*p == '\n') *p = ' ';
    size_t bytes = strlen(line), done = 0;
    line[bytes++] = '\n';
    while (done < bytes) {
        const ssize_t w = write(c->fd, line + done, bytes - done);
        if (w < 0 && errno != EINTR) _exit(3);
        if (w > 0) done += (size_t)w;
    }
}

static int open_h5(const comparison *c, opened *o)
{
    o->on = (pawl_h5_file){.path = o->path};
    o->file = o->access = -1;
    if (pawl_file_open(o->path, O_RDONLY, &o->on.fd) != PAWL_OK) {
        find(c, o->path, "it cannot be opened");
        return 0;
    }
    o->access = pawl_h5_access(&o->on);
    if (o->access >= 0) o->file = H5Fopen(o->path, H5F_ACC_RDONLY, o->access);
    if (o->file < 0) find(c, o->path, "HDF5 cannot open it");
    return o->file >= 0;
}

/* ---- Tensors ---- */

static int same_shape(hid_t space, const pawl_tensor *t)
{
    hsize_t dim[H5S_MAX_RANK];
    if (space < 0 || H5Sget_simple_extent_ndims(space) != t->ndim) return 0;
    if (H5Sget_simple_extent_type(space) != (t->ndim == 0 ? H5S_SCALAR : H5S_SIMPLE)) return 0;
    if (t->ndim > 0 && H5Sget_simple_extent_dims(space, dim, NULL) != t->ndim) return 0;
    for (int i = 0; i < t->ndim; i++)
        if (dim[i] != (hsize_t)t->dim[i]) return 0;
    return 1;
}

static void compare_place(const comparison *c, const char *path, hid_t set, const pawl_stored *t)
{
    const hid_t list = H5Dget_create_plist(set);
    if (list < 0 || H5Pget_layout(list) != H5D_CONTIGUOUS) {
        find(c, path, "tensor %s: HDF5 does not store it in one piece", t->item.name);
    } else if (t->bytes > 0) {
        const haddr_t at = H5Dget_offset(set);
        if (at != (haddr_t)t->offset)
            find(c, path, "tensor %s: HDF5 has it at byte %lld, the manifest at byte %lld", t->item.name, (long long)at,
                 (long long)t->offset);
    }
    if (list >= 0) H5Pclose(list);
}

static void compare_dataset(const comparison *c, const char *path, hid_t file, const pawl_stored *t)
{
    const hid_t set = H5Dopen2(file, t->item.name, H5P_DEFAULT);
    if (set < 0) {
        find(c, path, "tensor %s: HDF5 has no such dataset", t->item.name);
        return;
    }
    const hid_t type = H5Dget_type(set), expected = pawl_h5_type(t->item.tensor.dtype), space = H5Dget_space(set);
    if (type < 0 || expected < 0 || H5Tequal(type, expected) <= 0)
        find(c, path, "tensor %s: its type in HDF5 is not %s", t->item.name, pawl_dtype_name(t->item.tensor.dtype));
    if (!same_shape(space, &t->item.tensor))
        find(c, path, "tensor %s: its shape in HDF5 is not the manifest's", t->item.name);
    compare_place(c, path, set, t);
    if (space >= 0) H5Sclose(space);
    if (expected >= 0) H5Tclose(expected);
    if (type >= 0) H5Tclose(type);
    H5Dclose(set);
}

/* A link is compared as text and never followed by HDF5: it could lead anywhere. */
static void compare_link(const comparison *c, const pawl_stored *t, size_t bytes)
{
    char value[2048], file[PAWL_FILE_NAME_MAX + 4];
    const char *to_file = NULL, *to_name = NULL;
    snprintf(file, sizeof file, "../%s", t->file);
    if (bytes > sizeof value || H5Lget_val(c->own.file, t->item.name, value, sizeof value, H5P_DEFAULT) < 0 ||
        H5Lunpack_elink_val(value, bytes, NULL, &to_file, &to_name) < 0 || strcmp(to_file, file) != 0 ||
        to_name[0] != '/' || strcmp(to_name + 1, t->item.name) != 0)
        find(c, c->own.path, "tensor %s: its link in HDF5 does not lead to %s", t->item.name, file);
}

static void compare_referred(comparison *c, const pawl_stored *t)
{
    if (strcmp(c->other_name, t->file) != 0) {
        if (c->other.file >= 0) H5Fclose(c->other.file);
        memcpy(c->other_name, t->file, sizeof c->other_name);
        c->other.file = -1;
        if (pawl_stored_path(c->k->path, t, c->other.path, sizeof c->other.path) != PAWL_OK || !open_h5(c, &c->other))
            return;
    }
    if (c->other.file >= 0) compare_dataset(c, c->other.path, c->other.file, t);
}

static void compare_tensor(comparison *c, const pawl_stored *t)
{
    H5L_info_t info;
    const H5L_type_t expected = pawl_stored_is_own(t) ? H5L_TYPE_HARD : H5L_TYPE_EXTERNAL;
    if (H5Lget_info(c->own.file, t->item.name, &info, H5P_DEFAULT) < 0) {
        find(c, c->own.path, "tensor %s: HDF5 has no such dataset", t->item.name);
    } else if (info.type != expected) {
        find(c, c->own.path, "tensor %s: HDF5 has %s", t->item.name,
             pawl_stored_is_own(t) ? "a link where the manifest has the tensor"
                                   : "something else than a link to another file");
    } else if (pawl_stored_is_own(t)) {
        compare_dataset(c, c->own.path, c->own.file, t);
    } else {
        compare_link(c, t, info.u.val_size);
        compare_referred(c, t);
    }
}

/* ---- What else is in the file ---- */

/* A tensor, a group of tensors, the lineage or something of /run. */
static int is_known(const pawl_checkpoint *k, const char *name)
{
    pawl_stored key = {.bytes = 0};
    const size_t n = strlen(name);
    if (strcmp(name, "lineage") == 0 || strcmp(name, "run") == 0 || strncmp(name, "run/", 4) == 0) return 1;
    if (n >= sizeof key.item.name) return 0;
    memcpy(key.item.name, name, n);
    if (bsearch(&key, k->tensors, (size_t)k->count, sizeof *k->tensors, pawl_stored_compare)) return 1;
    for (int i = 0; i < k->count; i++)
        if (strncmp(k->tensors[i].item.name, name, n) == 0 && k->tensors[i].item.name[n] == '/') return 1;
    return 0;
}

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *self)
{
    const comparison *c = self;
    (void)group, (void)info;
    if (!is_known(c->k, name)) find(c, c->own.path, "HDF5 has '%.200s', which the manifest does not list", name);
    return 0;
}

/* The text of a dataset, or NULL; pawl_free it. */
static char *read_text(hid_t at, const char *name, size_t *bytes)
{
    char *text = NULL;
    const hid_t set = H5Dopen2(at, name, H5P_DEFAULT), type = set < 0 ? -1 : H5Dget_type(set),
                space = set < 0 ? -1 : H5Dget_space(set);
    if (type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && space >= 0 &&
        H5Sget_simple_extent_npoints(space) == 1 && H5Tget_size(type) <= PAWL_TEXT_MAX) {
        *bytes = H5Tget_size(type);
        if (pawl_alloc((void **)&text, *bytes + 1, "text in HDF5") == PAWL_OK &&
            H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0) {
            pawl_free(text);
            text = NULL;
        }
    }
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (set >= 0) H5Dclose(set);
    return text;
}

static int same_text(hid_t at, const char *name, const json_t *value)
{
    pawl_text expected = {0};
    size_t bytes = 0;
    char *found = read_text(at, name, &bytes);
    const int same = found && pawl_json_canonical(value, &expected) == PAWL_OK &&
                     pawl_text_status(&expected) == PAWL_OK && expected.bytes == bytes &&
                     memcmp(expected.data, found, bytes) == 0;
    pawl_text_close(&expected);
    pawl_free(found);
    return same;
}

static int same_number(hid_t a, hid_t type, const json_t *value)
{
    int64_t whole = 0;
    double real = 0;
    if (H5Tequal(type, H5T_IEEE_F64LE) > 0) /* 1.0 is canonically 1: the manifest does not tell it from an integer */
        return json_is_number(value) && H5Aread(a, type, &real) >= 0 && real == json_number_value(value);
    if (H5Tequal(type, H5T_STD_I64LE) <= 0 || H5Aread(a, type, &whole) < 0) return 0;
    return whole == (json_is_boolean(value) ? json_is_true(value) : json_integer_value(value));
}

static int same_string(hid_t a, hid_t type, const json_t *value)
{
    char text[PAWL_ATTRIBUTE_TEXT_MAX + 1] = "";
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
        H5Tget_size(type) > PAWL_ATTRIBUTE_TEXT_MAX)
        return 0;
    return H5Aread(a, type, text) >= 0 && strcmp(text, json_string_value(value)) == 0;
}

static int same_attribute(hid_t run, const char *key, const json_t *value)
{
    const hid_t a = H5Aopen(run, key, H5P_DEFAULT), type = a < 0 ? -1 : H5Aget_type(a),
                space = a < 0 ? -1 : H5Aget_space(a);
    int same = 0;
    if (type >= 0 && space >= 0 && H5Sget_simple_extent_npoints(space) == 1)
        same = json_is_string(value) ? same_string(a, type, value) : same_number(a, type, value);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (a >= 0) H5Aclose(a);
    return same;
}

static void compare_run(const comparison *c)
{
    const char *key;
    json_t *value;
    const hid_t run = H5Gopen2(c->own.file, "run", H5P_DEFAULT);
    json_object_foreach(json_object_get(c->k->manifest, "run"), key,
                        value) if (run < 0 || !(pawl_layout_is_attribute(value) ? same_attribute(run, key, value)
                                                                                : same_text(run, key, value)))
        find(c, c->own.path, "/run: %.200s is not what the manifest says", key);
    if (run >= 0) H5Gclose(run);
}

void pawl_compare_h5(const pawl_checkpoint *k, int fd)
{
    comparison c = {.k = k, .fd = fd, .own = {.file = -1}, .other = {.file = -1}};
    pawl_h5_enter();
    if (pawl_path_join(c.own.path, sizeof c.own.path, k->path, PAWL_TENSOR_FILE) != PAWL_OK || !open_h5(&c, &c.own))
        return;
    for (int i = 0; i < k->count; i++) compare_tensor(&c, &k->tensors[i]);
    compare_run(&c);
    if (!same_text(c.own.file, "lineage", json_object_get(k->manifest, "lineage")))
        find(&c, c.own.path, "/lineage is not what the manifest says");
    if (H5Lvisit(c.own.file, H5_INDEX_NAME, H5_ITER_NATIVE, visit_link, &c) < 0)
        find(&c, c.own.path, "HDF5 cannot list what is in it");
}
