# The scripts for machines with a GPU, on stand-ins: every step as it would be there (decision 0048).
pawl_script(gpu_tests_script 300 ${PAWL_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/gpu/run --rehearse --build ${PROJECT_BINARY_DIR}
  --out ${CMAKE_CURRENT_BINARY_DIR}/gpu-results)
pawl_script(gpu_bench_script 300 ${PAWL_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/bench/gpu --rehearse --build ${PROJECT_BINARY_DIR}
  --out ${CMAKE_CURRENT_BINARY_DIR}/gpu-results)
pawl_script(gpu_scripts_wrong 120 ${PAWL_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/gpu/wrong.py ${PROJECT_BINARY_DIR})
# What is carried to such a machine: that it can be packed, and its size. Skipped where Debian's archive cannot be reached.
pawl_script(gpu_pack 900 ${CMAKE_CURRENT_LIST_DIR}/gpu/pack ${CMAKE_CURRENT_BINARY_DIR}/gpu-carry)
set_tests_properties(gpu_pack PROPERTIES LABELS long SKIP_RETURN_CODE 75)
