/* checkpoints/h5.h - HDF5 on pawl's own file functions, its types for ours, and its failures as our sentences. */
#ifndef PAWL_CHECKPOINTS_H5_H
#define PAWL_CHECKPOINTS_H5_H

#include <hdf5.h>

#include "core/status.h"
#include "core/tensor.h"

/* A file that HDF5 works on through core/file.h. */
typedef struct pawl_h5_file {
    int fd;
    const char *path;
    pawl_error error; /* code PAWL_OK, or the first failure of a write */
} pawl_h5_file;

/* HDF5 crashes or loops when a write fails while it closes a file. So a failing write is remembered in `error` and HDF5
 * is told that all is well; who made the file asks for `error` when HDF5 has closed it. Reads fail as they are. */
hid_t pawl_h5_access(pawl_h5_file *f); /* an access property list; H5Pclose it. Negative after a failure */

/* The file's type for ours: little endian; bf16 and f16 are HDF5 floats of their own making. H5Tclose it. */
hid_t pawl_h5_type(pawl_dtype dtype);
hid_t pawl_h5_text_type(size_t bytes); /* UTF-8 of fixed length, padded with NULs */

/* HDF5 is not used by two threads at once, and says nothing on stderr meanwhile. */
void pawl_h5_enter(void);
void pawl_h5_leave(void);

#endif
