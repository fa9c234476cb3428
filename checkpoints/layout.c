#include "checkpoints/layout.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "checkpoints/h5.h"
#include "core/file.h"

typedef struct layout {
    hid_t file, link, data; /* the file; property lists of links and of datasets */
    const char *path;
} layout;

static pawl_status refused(const layout *l, const char *what, const char *name)
{
    return PAWL_FAIL(PAWL_EIO, "%s: HDF5 cannot make %s %s", l->path, what, name);
}

static hid_t space_of(const pawl_tensor *t)
{
    hsize_t dim[PAWL_MAX_NDIM];
    if (t->ndim == 0) return H5Screate(H5S_SCALAR);
    for (int i = 0; i < t->ndim; i++) dim[i] = (hsize_t)t->dim[i];
    return H5Screate_simple(t->ndim, dim, NULL);
}

static pawl_status place_tensor(const layout *l, pawl_stored *t)
{
    const hid_t type = pawl_h5_type(t->item.tensor.dtype), space = space_of(&t->item.tensor);
    const hid_t set =
        type < 0 || space < 0 ? -1 : H5Dcreate2(l->file, t->item.name, type, space, l->link, l->data, H5P_DEFAULT);
    const haddr_t at = set < 0 ? HADDR_UNDEF : H5Dget_offset(set);
    if (set >= 0) H5Dclose(set);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (set < 0 || (at == HADDR_UNDEF && t->bytes > 0)) return refused(l, "tensor", t->item.name);
    t->offset = t->bytes > 0 ? (int64_t)at : 0;
    return PAWL_OK;
}

static pawl_status link_tensor(const layout *l, const pawl_stored *t)
{
    char file[PAWL_FILE_NAME_MAX + 4], name[PAWL_NAME_MAX + 1];
    snprintf(file, sizeof file, "../%s", t->file);
    snprintf(name, sizeof name, "/%s", t->item.name);
    if (H5Lcreate_external(file, name, l->file, t->item.name, l->link, H5P_DEFAULT) < 0)
        return refused(l, "a link to tensor", t->item.name);
    return PAWL_OK;
}

static pawl_status put_attribute(const layout *l, hid_t on, const char *key, hid_t type, const void *value)
{
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t a = type < 0 || space < 0 ? -1 : H5Acreate2(on, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const int good = a >= 0 && H5Awrite(a, type, value) >= 0;
    if (a >= 0) H5Aclose(a);
    if (space >= 0) H5Sclose(space);
    return good ? PAWL_OK : refused(l, "attribute", key);
}

static pawl_status put_text(const layout *l, hid_t at, const char *name, const char *text, size_t bytes)
{
    const hid_t type = pawl_h5_text_type(bytes), space = H5Screate(H5S_SCALAR);
    const hid_t set = type < 0 || space < 0 ? -1 : H5Dcreate2(at, name, type, space, l->link, l->data, H5P_DEFAULT);
    const int good = set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) >= 0;
    if (set >= 0) H5Dclose(set);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return good ? PAWL_OK : refused(l, "text", name);
}

static pawl_status put_json(const layout *l, hid_t at, const char *name, const json_t *value)
{
    pawl_text text = {0};
    pawl_status s = pawl_json_canonical(value, &text);
    if (s == PAWL_OK) s = pawl_text_status(&text);
    if (s == PAWL_OK) s = put_text(l, at, name, text.data, text.bytes);
    pawl_text_close(&text);
    return s;
}

int pawl_layout_is_attribute(const json_t *value)
{
    return json_is_number(value) || json_is_boolean(value) ||
           (json_is_string(value) && json_string_length(value) <= PAWL_ATTRIBUTE_TEXT_MAX);
}

static pawl_status put_value(const layout *l, hid_t run, const char *key, const json_t *value)
{
    const int64_t whole = json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
    const double real = json_real_value(value);
    if (!pawl_layout_is_attribute(value)) return put_json(l, run, key, value);
    if (json_is_real(value)) return put_attribute(l, run, key, H5T_IEEE_F64LE, &real);
    if (!json_is_string(value)) return put_attribute(l, run, key, H5T_STD_I64LE, &whole);
    const hid_t type = pawl_h5_text_type(json_string_length(value));
    pawl_status s = put_attribute(l, run, key, type, json_string_value(value));
    if (type >= 0) H5Tclose(type);
    return s;
}

static pawl_status put_run(const layout *l, const json_t *run)
{
    const hid_t group = H5Gcreate2(l->file, "run", l->link, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0) return refused(l, "group", "run");
    pawl_status s = PAWL_OK;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)run, key, value) if (s == PAWL_OK) s = put_value(l, group, key, value);
    H5Gclose(group);
    return s;
}

static pawl_status fill(const layout *l, pawl_stored *list, int count, const json_t *run, const json_t *lineage)
{
    PAWL_TRY(put_run(l, run));
    PAWL_TRY(put_json(l, l->file, "lineage", lineage));
    for (int i = 0; i < count; i++)
        PAWL_TRY(pawl_stored_is_own(&list[i]) ? place_tensor(l, &list[i]) : link_tensor(l, &list[i]));
    return PAWL_OK;
}

/* Contiguous, allocated at once, never filled: HDF5 says where a tensor lies and writes none of it. */
static int open_lists(layout *l)
{
    l->link = H5Pcreate(H5P_LINK_CREATE);
    l->data = H5Pcreate(H5P_DATASET_CREATE);
    return l->link >= 0 && l->data >= 0 && H5Pset_create_intermediate_group(l->link, 1) >= 0 &&
           H5Pset_char_encoding(l->link, H5T_CSET_UTF8) >= 0 && H5Pset_layout(l->data, H5D_CONTIGUOUS) >= 0 &&
           H5Pset_alloc_time(l->data, H5D_ALLOC_TIME_EARLY) >= 0 &&
           H5Pset_fill_time(l->data, H5D_FILL_TIME_NEVER) >= 0 && H5Pset_obj_track_times(l->data, 0) >= 0;
}

static pawl_status create(pawl_h5_file *on, pawl_stored *list, int count, const json_t *run, const json_t *lineage)
{
    layout l = {.file = -1, .link = -1, .data = -1, .path = on->path};
    const hid_t access = pawl_h5_access(on);
    if (access >= 0 && open_lists(&l)) l.file = H5Fcreate(on->path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    pawl_status s = l.file < 0 ? refused(&l, "the file", "itself") : fill(&l, list, count, run, lineage);
    const int closed = l.file < 0 || H5Fclose(l.file) >= 0;
    if (l.link >= 0) H5Pclose(l.link);
    if (l.data >= 0) H5Pclose(l.data);
    if (access >= 0) H5Pclose(access);
    if (on->error.code != PAWL_OK) { /* the cause of whatever HDF5 said later */
        pawl_adopt_error(&on->error);
        return on->error.code;
    }
    return s == PAWL_OK && !closed ? refused(&l, "the file", "complete") : s;
}

pawl_status pawl_layout_create(const char *path, pawl_stored *list, int count, const json_t *run, const json_t *lineage,
                               int64_t *file_bytes, pawl_digest *rest)
{
    pawl_h5_file on = {.path = path};
    pawl_status status;
    PAWL_TRY(pawl_file_open(path, O_RDWR | O_CREAT | O_EXCL, &on.fd));
    pawl_h5_enter();
    status = create(&on, list, count, run, lineage);
    pawl_h5_leave();
    if (status != PAWL_OK) goto out;
    PAWL_TRY_OUT(pawl_file_size(path, file_bytes));
    PAWL_TRY_OUT(pawl_file_reserve(on.fd, path, *file_bytes));
    PAWL_TRY_OUT(pawl_layout_digest(on.fd, path, *file_bytes, list, count, rest));
out:
    if (status != PAWL_OK)
        pawl_file_close(on.fd);
    else
        status = pawl_file_close_written(on.fd, path);
    return status;
}
