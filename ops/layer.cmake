# The kernels are one source, compiled once per instruction set and chosen when the program runs. Whatever the build type:
# optimised, and never contracted by the compiler's own choice (a fused multiply-add is written where it is meant).
set(kernel_flags -O3 -ffp-contract=off -fno-trapping-math -fno-math-errno)
set(kernels cpu/kernels_generic.c)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND kernels cpu/kernels_avx2.c cpu/kernels_avx512.c)
  set(isa cpu/isa_x86.c)
else()
  set(isa cpu/isa_other.c)
endif()
set(flags_generic "")
set(flags_avx2 -mavx2 -mfma)
set(flags_avx512 -mavx2 -mfma -mavx512f -mavx512vl -mavx512dq -mavx512bw -mprefer-vector-width=512)
foreach(source ${kernels})
  string(REGEX REPLACE ".*kernels_(.*)\\.c" "\\1" name ${source})
  set_source_files_properties(${PROJECT_SOURCE_DIR}/ops/${source} PROPERTIES COMPILE_OPTIONS "${kernel_flags};${flags_${name}}")
endforeach()

# oneDNN where it is installed (its threads are OpenMP's, and are told to be one); our own products elsewhere.
set(gemm cpu/gemm_none.c)
set(gemm_libraries)
if(DNNL_LIBRARY AND DNNL_INCLUDE)
  find_package(OpenMP COMPONENTS C)
  if(OpenMP_C_FOUND)
    set(gemm cpu/gemm_dnnl.c)
    set(gemm_libraries ${DNNL_LIBRARY} OpenMP::OpenMP_C)
  endif()
endif()

include(${PROJECT_SOURCE_DIR}/ops/cuda/interface.cmake)
pawl_cuda_interface(${PROJECT_SOURCE_DIR} cuda_interface)
set_property(SOURCE ${PROJECT_SOURCE_DIR}/ops/cuda_part.c ${PROJECT_SOURCE_DIR}/ops/cuda/device.c APPEND PROPERTY COMPILE_DEFINITIONS
             PAWL_CUDA_PART=${cuda_interface})

pawl_layer(ops
  SOURCES cuda_part.c merge.c muon.c ops.c optimizers.c parts.c timed.c cpu/adafactor.c cpu/adapter.c cpu/attention.c cpu/device.c cpu/elementwise.c cpu/embedding.c cpu/fp8.c
          cpu/gemm.c cpu/gemm_convert.c cpu/gemm_portable.c cpu/head.c cpu/kept.c cpu/linear.c cpu/noise.c cpu/norm.c cpu/optimizers.c cpu/penalties.c
          cpu/pool.c cpu/products.c cpu/quant.c cpu/rate.c cuda/cudnn_cut.c cuda/planned.c cuda/scratch.c
          ${gemm} ${isa} ${kernels}
  USES pawl_core
  LIBS ${gemm_libraries} ${CMAKE_DL_LIBS})
