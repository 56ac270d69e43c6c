# Objects by HDBSCAN, which takes a sixth of the time of mean shift on large scenes.
_base_ = ['./minkunet34_w32_spconv_1xb8-30e_nus600-100pct.py']
model = dict(clustering=dict(_delete_=True, type='HDBSCANClustering'))
