#include "checkpoints/h5.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"

enum { DATA_ALIGN = 4096, RECORD_ALIGN = 8, RECORD_BLOCK = 16384 };

typedef struct driver_file {
    H5FD_t shared; /* HDF5's part comes first */
    pawl_h5_file *on;
    haddr_t eoa, eof; /* end of what is allocated; end of what is in the file */
} driver_file;

typedef struct driver_info {
    pawl_h5_file *on;
} driver_info;

static H5FD_t *open_driver(const char *name, unsigned flags, hid_t access, haddr_t max)
{
    const driver_info *info = H5Pget_driver_info(access);
    int64_t bytes = 0;
    driver_file *f;
    (void)name, (void)max;
    if (!info) return NULL;
    if (!(flags & H5F_ACC_TRUNC) && pawl_file_size(info->on->path, &bytes) != PAWL_OK) return NULL;
    if (pawl_alloc((void **)&f, sizeof *f, "HDF5's view of a file") != PAWL_OK) return NULL;
    f->on = info->on;
    f->eof = (haddr_t)bytes;
    return &f->shared;
}

static herr_t close_driver(H5FD_t *f)
{
    pawl_free(f);
    return 0;
}

static herr_t query_driver(const H5FD_t *f, unsigned long *flags)
{
    (void)f;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_IGNORE_DRVRINFO;
    return 0;
}

/* Tensors begin at whole pages; HDF5's own records are packed. */
static haddr_t alloc_driver(H5FD_t *shared, H5FD_mem_t type, hid_t transfer, hsize_t bytes)
{
    driver_file *f = (driver_file *)shared;
    const haddr_t align = type == H5FD_MEM_DRAW ? DATA_ALIGN : RECORD_ALIGN;
    const haddr_t at = (f->eoa + align - 1) / align * align;
    (void)transfer;
    f->eoa = at + bytes;
    return at;
}

static haddr_t get_eoa_driver(const H5FD_t *f, H5FD_mem_t type)
{
    (void)type;
    return ((const driver_file *)f)->eoa;
}

static herr_t set_eoa_driver(H5FD_t *f, H5FD_mem_t type, haddr_t at)
{
    (void)type;
    ((driver_file *)f)->eoa = at;
    return 0;
}

static haddr_t get_eof_driver(const H5FD_t *f, H5FD_mem_t type)
{
    (void)type;
    return ((const driver_file *)f)->eof;
}

static herr_t read_driver(H5FD_t *shared, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t bytes, void *data)
{
    const driver_file *f = (const driver_file *)shared;
    const size_t there = at >= f->eof ? 0 : f->eof - at < bytes ? (size_t)(f->eof - at) : bytes;
    (void)type, (void)transfer;
    if (at > INT64_MAX - bytes) return -1;
    memset((char *)data + there, 0, bytes - there); /* allocated, not written yet */
    return pawl_file_pread(f->on->fd, f->on->path, data, there, (int64_t)at) == PAWL_OK ? 0 : -1;
}

static void remember(pawl_h5_file *on, pawl_status s)
{
    if (s != PAWL_OK && on->error.code == PAWL_OK) on->error = *pawl_last_error();
}

static herr_t write_driver(H5FD_t *shared, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t bytes, const void *data)
{
    driver_file *f = (driver_file *)shared;
    (void)type, (void)transfer;
    remember(f->on, pawl_file_pwrite(f->on->fd, f->on->path, data, bytes, (int64_t)at));
    if (at + bytes > f->eof) f->eof = at + bytes;
    return 0;
}

static herr_t truncate_driver(H5FD_t *shared, hid_t transfer, hbool_t closing)
{
    driver_file *f = (driver_file *)shared;
    (void)transfer, (void)closing;
    if (f->eoa == f->eof) return 0;
    int failed;
    do failed = pawl_fs_in_use->ftruncate(f->on->fd, (off_t)f->eoa) < 0;
    while (failed && errno == EINTR);
    if (failed) remember(f->on, PAWL_FAIL(PAWL_EIO, "cannot set the length of %s: %s", f->on->path, strerror(errno)));
    f->eof = f->eoa;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 14, 0)
    .version = H5FD_CLASS_VERSION,
    .value = 511, /* of those that HDF5 leaves to drivers that are not registered */
#endif
    .name = "pawl",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(driver_info),
    .open = open_driver,
    .close = close_driver,
    .query = query_driver,
    .alloc = alloc_driver,
    .get_eoa = get_eoa_driver,
    .set_eoa = set_eoa_driver,
    .get_eof = get_eof_driver,
    .read = read_driver,
    .write = write_driver,
    .truncate = truncate_driver,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t pawl_h5_access(pawl_h5_file *f)
{
    const driver_info info = {f};
    const hid_t id = H5FDregister(&driver), list = H5Pcreate(H5P_FILE_ACCESS);
    herr_t bad = id < 0 || list < 0 ? -1 : H5Pset_driver(list, id, &info);
    if (bad >= 0)
        bad = H5Pset_libver_bounds(list, H5F_LIBVER_V18, H5F_LIBVER_V18); /* compact groups; all tools read it */
    if (bad >= 0) bad = H5Pset_meta_block_size(list, RECORD_BLOCK);
    if (id >= 0) H5FDunregister(id); /* the list keeps its own hold */
    if (bad >= 0) return list;
    if (list >= 0) H5Pclose(list);
    return -1;
}

/* A float of two bytes: sign, then exponent, then mantissa. */
static hid_t small_float(size_t exponent_bits, size_t mantissa_bits, size_t bias)
{
    const hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    if (t < 0) return t;
    if (H5Tset_fields(t, 15, mantissa_bits, exponent_bits, 0, mantissa_bits) >= 0 && H5Tset_precision(t, 16) >= 0 &&
        H5Tset_size(t, 2) >= 0 && H5Tset_ebias(t, bias) >= 0)
        return t;
    H5Tclose(t);
    return -1;
}

hid_t pawl_h5_type(pawl_dtype dtype)
{
    switch (dtype) {
    case PAWL_F32: return H5Tcopy(H5T_IEEE_F32LE);
    case PAWL_BF16: return small_float(8, 7, 127);
    case PAWL_F16: return small_float(5, 10, 15);
    case PAWL_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case PAWL_I64: return H5Tcopy(H5T_STD_I64LE);
    case PAWL_I32: return H5Tcopy(H5T_STD_I32LE);
    case PAWL_BOOL:
    case PAWL_U8: return H5Tcopy(H5T_STD_U8LE);
    case PAWL_U16: return H5Tcopy(H5T_STD_U16LE);
    case PAWL_DTYPE_COUNT: break;
    }
    pawl_assert_("a type of number", __FILE__, __LINE__);
}

hid_t pawl_h5_text_type(size_t bytes)
{
    const hid_t t = H5Tcopy(H5T_C_S1);
    if (t < 0) return t;
    if (H5Tset_size(t, bytes ? bytes : 1) >= 0 && H5Tset_strpad(t, H5T_STR_NULLPAD) >= 0 &&
        H5Tset_cset(t, H5T_CSET_UTF8) >= 0)
        return t;
    H5Tclose(t);
    return -1;
}

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

void pawl_h5_enter(void)
{
    pthread_mutex_lock(&one_at_a_time);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void pawl_h5_leave(void)
{
    pthread_mutex_unlock(&one_at_a_time);
}
